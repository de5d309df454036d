namespace LoadBalancer.Configuration.Options;

/// <summary>
/// Hedging: a request that is not answered after a time is sent to a second backend too; the first answer is used, and the other attempt
/// is cancelled. It is for requests without a body only, and takes from the same budget as retries.
/// </summary>
public sealed record HedgeOptions
{
    /// <summary>
    /// After which time: a duration, or a percentile of the pool's recent response times such as <c>p95</c> (the default).
    /// </summary>
    public HedgeAfter After { get; init; } = new(null, 95);

    /// <summary>
    /// For which methods: of GET, HEAD, OPTIONS, PUT and DELETE, which may be carried out twice. Default GET, HEAD and OPTIONS.
    /// </summary>
    public IReadOnlyList<string> Methods { get; init; } = ["GET", "HEAD", "OPTIONS"];
}

/// <summary>When a request is hedged.</summary>
/// <param name="Delay">After this time; null: see <paramref name="Percentile"/>.</param>
/// <param name="Percentile">After the time within which so many of a hundred requests are answered; above 0 and below 100.</param>
public readonly record struct HedgeAfter(TimeSpan? Delay, double Percentile);
