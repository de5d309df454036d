using System.Diagnostics.Metrics;

namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// Histograms of the node's meter to which every single duration must be reported, because .NET has no histogram that is observed: readers
/// such as OTLP's keep the counts themselves. While there is no such reader a call costs one look at a flag.
/// </summary>
/// <param name="Requests">From a request's arrival to the end of its answer, in seconds.</param>
/// <param name="TaskWaits">From a task's arrival to its first worker, in seconds.</param>
/// <param name="TaskRuns">From a worker's being given a task to its result, in seconds.</param>
/// <param name="Routes">From the head of a request to the end of its answer, by route, in seconds.</param>
public sealed record DurationInstruments(
    Histogram<double> Requests, Histogram<double> TaskWaits, Histogram<double> TaskRuns, Histogram<double> Routes)
{
    internal void RecordRequest(string pool, string backend, int status, TimeSpan duration)
    {
        if (Requests.Enabled)
        {
            Requests.Record(duration.TotalSeconds, Tag("pool", pool), Tag("backend", backend), Tag("code", status));
        }
    }

    internal void RecordRoute(string listener, string route, TimeSpan duration)
    {
        if (Routes.Enabled)
        {
            Routes.Record(duration.TotalSeconds, Tag("listener", listener), Tag("route", route));
        }
    }

    internal void RecordTaskWait(string pool, TimeSpan duration) => Record(TaskWaits, pool, duration);

    internal void RecordTaskRun(string pool, TimeSpan duration) => Record(TaskRuns, pool, duration);

    private static void Record(Histogram<double> histogram, string pool, TimeSpan duration)
    {
        if (histogram.Enabled)
        {
            histogram.Record(duration.TotalSeconds, Tag("pool", pool));
        }
    }

    private static KeyValuePair<string, object?> Tag(string name, object value) => new(name, value);
}
