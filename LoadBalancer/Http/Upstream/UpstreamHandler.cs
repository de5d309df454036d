using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// What is beneath the <see cref="HttpClient"/> of a pool: HTTP/1.1 of our own, HTTP/2 where the pool's options say so or where an
/// https backend negotiates it. For HTTP/1.1 the framework's own handler cannot answer while an upload still runs, hides 1xx answers
/// and what makes a response malformed, and costs a third more for each request.
/// </summary>
internal sealed class UpstreamHandler : HttpMessageHandler
{
    // What waits for a deadline is let down at most this much later.
    private static readonly TimeSpan SweepInterval = TimeSpan.FromMilliseconds(250);

    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<Backend, ConnectionPool> _pools = new();
    private readonly PoolOptions _options;
    private readonly BackendTrust _trust;
    private readonly TimeProvider _time;
    private readonly ITimer _sweep;
    private volatile bool _isDisposed;

    public UpstreamHandler(PoolOptions options, BackendTrust trust, TimeProvider time)
    {
        (_options, _trust, _time) = (options, trust, time);
        _sweep = time.CreateTimer(_ => Sweep(), null, SweepInterval, SweepInterval);
    }

    /// <summary>Sends a <see cref="ForwardRequest"/> and returns its <see cref="Exchange"/>, the response still to be read.</summary>
    /// <exception cref="ForwardException">It could not be sent.</exception>
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage message, CancellationToken cancellationToken)
    {
        var request = (ForwardRequest)message;
        var pool = _pools.GetOrAdd(request.Backend, static (backend, self) => new ConnectionPool(backend, self._options, self._trust, self._time), this);
        if (pool.Http2.IsSpoken && !(request.WantsHttp1 && pool.Http2.IsNegotiated))
        {
            return Task.FromResult<HttpResponseMessage>(pool.Http2.Send(request));
        }
        if (request.WantsFreshConnection || pool.TryTake() is not { } connection)
        {
            return SendAsync(request, pool, null, default);
        }
        // Nearly always there is a connection, and it takes the whole head at once: no state machine for that.
        var exchange = new Http1Exchange(request, pool, connection, _options.Timeouts);
        ValueTask<bool> sending;
        try
        {
            sending = exchange.TrySendAsync();
        }
        catch
        {
            exchange.Dispose();
            throw;
        }
        return exchange.IsSent ? Task.FromResult<HttpResponseMessage>(exchange) : SendAsync(request, pool, exchange, sending);
    }

    private async Task<HttpResponseMessage> SendAsync(ForwardRequest request, ConnectionPool pool, Http1Exchange? exchange, ValueTask<bool> sending)
    {
        while (true)
        {
            try
            {
                if (exchange is not null && await sending)
                {
                    return exchange;
                }
                exchange?.Dispose();
                WatchAgain();
                // Where one idle connection was dead, others are.
                using var unwanted = CancellationTokenSource.CreateLinkedTokenSource(request.Context.RequestAborted, request.Superseded);
                if (await pool.OpenAsync(request.WantsHttp1, unwanted.Token) is not { } connection)
                {
                    return pool.Http2.Send(request);
                }
                exchange = new Http1Exchange(request, pool, connection, _options.Timeouts);
                sending = exchange.TrySendAsync();
            }
            catch
            {
                exchange?.Dispose();
                throw;
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>What is under way may end, and is watched over until then.</remarks>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _isDisposed = true;
            Sweep();
        }
        base.Dispose(disposing);
    }

    // Who is late, and still uses a handler that was disposed of, must not wait for a deadline in vain.
    private void WatchAgain()
    {
        if (_isDisposed)
        {
            _sweep.Change(SweepInterval, SweepInterval);
        }
    }

    private void Sweep()
    {
        foreach (var (backend, pool) in _pools)
        {
            pool.Sweep();
            if (_isDisposed || IsGone(backend, pool))
            {
                pool.Dispose(); // Closes what is idle, again and again until nothing is left.
                if (pool.IsEmpty)
                {
                    _pools.TryRemove(backend, out _);
                }
            }
        }
        if (_isDisposed && _pools.IsEmpty)
        {
            _sweep.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    // Who chose the backend just before it left may be a moment late.
    private bool IsGone(Backend backend, ConnectionPool pool)
    {
        if (!backend.IsRemoved)
        {
            return false;
        }
        var now = _time.GetTimestamp();
        return _time.GetElapsedTime(pool.RetiredAt ??= now, now) > Grace;
    }
}
