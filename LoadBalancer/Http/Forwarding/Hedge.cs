using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Which requests of a pool are hedged, and when.</summary>
internal sealed class Hedge(HedgeOptions options, TimeProvider time)
{
    // A percentile of fewer answers than this would be one of chance.
    private const int LeastAnswers = 20;

    // Looking through the times costs a microsecond; nobody needs to know it better than this.
    private static readonly TimeSpan Freshness = TimeSpan.FromMilliseconds(500);

    private readonly RecentTimes _times = new(time);
    private Known _known = new(null, time.GetTimestamp() - (long)(Freshness.TotalSeconds * time.TimestampFrequency));

    /// <summary>How long to wait for an answer before a second backend is asked too; null while too little is known to say.</summary>
    public TimeSpan? Delay
    {
        get
        {
            if (options.After.Delay is { } fixedDelay)
            {
                return fixedDelay;
            }
            var known = Volatile.Read(ref _known);
            if (time.GetElapsedTime(known.At) >= Freshness)
            {
                // Timers know whole milliseconds: rounded down, nearly every request would be late.
                var delay = _times.Percentile(options.After.Percentile, LeastAnswers) is { } late ? TimeSpan.FromMilliseconds(Math.Ceiling(late.TotalMilliseconds)) : (TimeSpan?)null;
                known = new Known(delay, time.GetTimestamp());
                Volatile.Write(ref _known, known);
            }
            return known.Delay;
        }
    }

    /// <summary>Whether these are the options that it was made of.</summary>
    public bool IsFor(HedgeOptions others) => options.After == others.After && options.Methods.SequenceEqual(others.Methods);

    /// <summary>Whether a request may be hedged: it can be sent twice, and be carried out twice.</summary>
    public bool Suits(HttpContext context, bool hasBody) =>
        !hasBody && options.Methods.Contains(context.Request.Method) && RequestRules.UpgradeProtocol(context) is null;

    /// <summary>Takes in how long one answer took, or how long one was waited for in vain.</summary>
    public void Observe(TimeSpan elapsed)
    {
        if (options.After.Delay is null)
        {
            _times.Observe(elapsed);
        }
    }

    private sealed record Known(TimeSpan? Delay, long At);
}
