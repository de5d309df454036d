namespace LoadBalancer.Pools.Statistics;

/// <summary>Counts the responses to the requests of one route: those of backends, of guards and of the route itself.</summary>
/// <param name="listener">The listener's name.</param>
/// <param name="route">The route's name; empty for the requests that no route took.</param>
/// <param name="routes">
/// How many routes the listener has. The more there are, the fewer counters each has, so that memory is bounded.
/// </param>
/// <param name="instruments">Where each duration is recorded too.</param>
public sealed class RouteStatistics(string listener, string route, int routes, DurationInstruments instruments)
{
    private const int MostShares = 4096; // of 10 KB each

    /// <summary>The listener's name.</summary>
    public string Listener => listener;

    /// <summary>The route's name.</summary>
    public string Route => route;

    /// <summary>The answers. Their response times are their whole durations.</summary>
    public AnswerStatistics Answers { get; } = new(Math.Clamp(MostShares / routes, 1, Environment.ProcessorCount));

    /// <summary>How many answers there were of each class that occurred: <c>2xx</c>.</summary>
    public IEnumerable<(string Class, long Count)> Classes() =>
        from code in Answers.Codes()
        group code.Count by code.Code == 0 ? "other" : $"{code.Code / 100}xx" into answers
        select (answers.Key, answers.Sum());

    /// <summary>Counts an answer.</summary>
    /// <param name="status">Its status.</param>
    /// <param name="duration">From the head of the request to the end of the answer.</param>
    public void Count(int status, TimeSpan duration)
    {
        Answers.Count(status, duration, duration);
        instruments.RecordRoute(listener, route, duration);
    }
}
