using System.Collections.Concurrent;
using System.Net;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Http.Guards.Rates;

/// <summary>One of the <see cref="LoadBalancerOptions.RateLimits"/>; all listeners and routes that name it share its counts.</summary>
internal sealed class RateLimiter
{
    // There is no telling when a request in flight ends.
    private static readonly TimeSpan RetryWhenFull = TimeSpan.FromSeconds(1);

    private readonly RateKey _key;
    private readonly RateTable? _rates;
    private readonly ConcurrentDictionary<ulong, int>? _inFlight; // only what is in flight, so it needs no other limit
    private int _maxInFlight;

    /// <summary>Begins with no request.</summary>
    public RateLimiter(RateLimitOptions options, TimeProvider time)
    {
        Options = options;
        _key = new RateKey(options.Key);
        _rates = options.Permits is not { } permits ? null
            : new RateTable(permits, options.Window, options.Burst ?? permits, options.MaxKeys, time);
        _inFlight = options.MaxInFlight is null ? null : new();
        _maxInFlight = options.MaxInFlight ?? 0;
    }

    /// <summary>Its options.</summary>
    public RateLimitOptions Options { get; }

    /// <summary>Whether it needs to know who the client is.</summary>
    public bool IsByUser => Options.Key == RateKey.User;

    /// <summary>Whether <see cref="Release"/> must be called when a request has ended.</summary>
    public bool IsHeld => _inFlight is not null;

    /// <summary>Gives out only the part of one of so many nodes that share the limit; at least 1 of each number.</summary>
    public void Share(int nodes)
    {
        _rates?.Share(nodes);
        Volatile.Write(ref _maxInFlight, Math.Max(1, (Options.MaxInFlight ?? 0) / nodes));
    }

    /// <summary>Counts a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="client">The client's address.</param>
    /// <param name="user">Who was authenticated; null where nobody was.</param>
    /// <param name="key">Its key, for <see cref="Release"/>.</param>
    /// <returns>Null where it may go on; else when the client may try again. Then nothing is counted.</returns>
    public TimeSpan? TryEnter(HttpRequest request, IPAddress? client, string? user, out ulong key)
    {
        key = _key.Of(request, client, user);
        if (_inFlight is not null && _inFlight.AddOrUpdate(key, 1, static (_, count) => count + 1) > Volatile.Read(ref _maxInFlight))
        {
            Release(key);
            return RetryWhenFull;
        }
        if (_rates is null || _rates.TryTake(key, out var retryAfter))
        {
            return null;
        }
        Release(key);
        return retryAfter;
    }

    /// <summary>A request has ended.</summary>
    public void Release(ulong key)
    {
        if (_inFlight is not null && _inFlight.AddOrUpdate(key, 0, static (_, count) => count - 1) == 0)
        {
            _inFlight.TryRemove(new(key, 0)); // unless another has come meanwhile
        }
    }
}
