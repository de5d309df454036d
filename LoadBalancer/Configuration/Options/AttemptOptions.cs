namespace LoadBalancer.Configuration.Options;

/// <summary>Trying again at another backend.</summary>
public sealed record RetryOptions
{
    /// <summary>
    /// Attempts in all for a request that a backend may have seen; 1 is no retry. A backend that could not be connected to saw
    /// nothing and does not count. Default 2.
    /// </summary>
    public int Attempts { get; init; } = 2;

    /// <summary>Retries allowed as a share of the requests of the last 10 s, 0..1; ten are always allowed. Default 0.2.</summary>
    public double Budget { get; init; } = 0.2;
}

/// <summary>How long to wait for a backend.</summary>
public sealed record TimeoutOptions
{
    /// <summary>For one connect. Default 5 s.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>From the end of the request to the head of the response. Default 1 min.</summary>
    public TimeSpan Response { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>For a message under way in which no byte moves in either direction. Default 1 min 40 s.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(100);
}

/// <summary>The waiting room of a pool.</summary>
public sealed record QueueOptions
{
    /// <summary>How many requests may wait; 0 (the default) is none: they are refused at once.</summary>
    public int Limit { get; init; }

    /// <summary>How long one may wait; then it is refused. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>
/// Hedging: a request that is not answered after a time is sent to a second backend too; the first answer is taken, the other
/// attempt is broken off. Only requests without a body, and out of the same budget as retries.
/// </summary>
public sealed record HedgeOptions
{
    /// <summary>After which time: a duration, or a percentile of the pool's recent response times such as <c>p95</c> (the default).</summary>
    public HedgeAfter After { get; init; } = new(null, 95);

    /// <summary>For which methods: of GET, HEAD, OPTIONS, PUT and DELETE, which may be carried out twice. Default GET, HEAD and OPTIONS.</summary>
    public IReadOnlyList<string> Methods { get; init; } = ["GET", "HEAD", "OPTIONS"];
}

/// <summary>When a request is hedged.</summary>
/// <param name="Delay">After this time; null: see <paramref name="Percentile"/>.</param>
/// <param name="Percentile">After the time within which so many in a hundred are answered; above 0 and below 100.</param>
public readonly record struct HedgeAfter(TimeSpan? Delay, double Percentile);

/// <summary>Sticky sessions: a cookie leads a client back to the backend that served it first.</summary>
public sealed record StickySessionOptions
{
    /// <summary>The cookie's name. Default <c>lb-backend</c>.</summary>
    public string Cookie { get; init; } = "lb-backend";

    /// <summary>
    /// The file with the secret that makes the cookie's values; made where there is none. Nodes that serve the same clients share its
    /// contents. Default null: <c>loadbalancer/sticky-session.key</c> in the user's directory for application data.
    /// </summary>
    public string? KeyFile { get; init; }
}
