using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Which requests of a pool are hedged, and when.</summary>
internal sealed class Hedge(HedgeOptions options, TimeProvider time)
{
    // A percentile of fewer responses than this is too random.
    private const int MinResponses = 20;

    // Computing the percentile costs a microsecond, so the result is kept for this long.
    private static readonly TimeSpan Freshness = TimeSpan.FromMilliseconds(500);

    private readonly RecentTimes _times = new(time);
    private CachedDelay _cached = new(null, time.GetTimestamp() - (long)(Freshness.TotalSeconds * time.TimestampFrequency));

    /// <summary>How long to wait for a response before a second backend is asked too; null while there are too few measurements.</summary>
    public TimeSpan? Delay
    {
        get
        {
            if (options.After.Delay is { } fixedDelay)
            {
                return fixedDelay;
            }
            var cached = Volatile.Read(ref _cached);
            if (time.GetElapsedTime(cached.At) >= Freshness)
            {
                // Timers count whole milliseconds. Rounded down, the delay would be over before most responses.
                var percentile = _times.Percentile(options.After.Percentile, MinResponses);
                TimeSpan? delay = percentile is { } late ? TimeSpan.FromMilliseconds(Math.Ceiling(late.TotalMilliseconds)) : null;
                cached = new CachedDelay(delay, time.GetTimestamp());
                Volatile.Write(ref _cached, cached);
            }
            return cached.Delay;
        }
    }

    /// <summary>Whether it was made of equal options.</summary>
    public bool IsFor(HedgeOptions others) => options.After == others.After && options.Methods.SequenceEqual(others.Methods);

    /// <summary>Whether a request may be hedged: it can be sent twice, and carrying it out twice does no harm.</summary>
    public bool CanHedge(HttpContext context, bool hasBody) =>
        !hasBody && options.Methods.Contains(context.Request.Method) && RequestRules.UpgradeProtocol(context) is null;

    /// <summary>Adds the time that a response took, or after which waiting for one was given up.</summary>
    public void Observe(TimeSpan elapsed)
    {
        if (options.After.Delay is null)
        {
            _times.Observe(elapsed);
        }
    }

    private sealed record CachedDelay(TimeSpan? Delay, long At);
}
