using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// The handler of a pool's <see cref="HttpClient"/>: HTTP/1.1 and HTTP/2 of our own; HTTP/2 where the pool's options say so or an https
/// backend negotiates it. The framework's handler returns no response while an upload is running, hides 1xx responses and why a response
/// is malformed, cannot send trailers, and costs a third more per request.
/// </summary>
internal sealed class UpstreamHandler : HttpMessageHandler
{
    // A deadline is noticed at most this much later.
    private static readonly TimeSpan SweepInterval = TimeSpan.FromMilliseconds(250);

    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<Backend, BackendConnections> _pools = new();
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
        var pool = _pools.GetOrAdd(
            request.Backend, static (backend, self) => new BackendConnections(backend, self._options, self._trust, self._time), this);
        if (pool.Http2.IsSpoken && !(request.WantsHttp1 && pool.Http2.IsNegotiated))
        {
            SweepAgain();
            return pool.Http2.SendAsync(request);
        }
        if (request.WantsFreshConnection
            || (pool.Http1.TryTakeBound(request.Context) ?? pool.Http1.TryTake()) is not { } connection)
        {
            return SendAsync(request, pool, null, default);
        }
        // Nearly always there is a connection, and the whole head is sent at once: no state machine for that.
        var exchange = new Http1Exchange(request, pool.Http1, connection, _options.Timeouts);
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

    private async Task<HttpResponseMessage> SendAsync(
        ForwardRequest request, BackendConnections pool, Http1Exchange? exchange, ValueTask<bool> sending)
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
                SweepAgain();
                // If one idle connection was closed, others probably are too.
                using var unwanted = CancellationTokenSource.CreateLinkedTokenSource(request.Context.RequestAborted, request.Superseded);
                if (await pool.Http1.OpenAsync(request.WantsHttp1, unwanted.Token) is not { } connection)
                {
                    return await pool.Http2.SendAsync(request);
                }
                exchange = new Http1Exchange(request, pool.Http1, connection, _options.Timeouts);
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
    /// <remarks>Exchanges that are running may end; their deadlines are checked until then.</remarks>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _isDisposed = true;
            Sweep();
        }
        base.Dispose(disposing);
    }

    // A late request may use a handler that was disposed of. Its deadline must be checked too.
    private void SweepAgain()
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
                pool.Dispose(); // Closes the idle connections, at each sweep until there is none.
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

    // A request that chose the backend just before it left may come a moment later.
    private bool IsGone(Backend backend, BackendConnections pool)
    {
        if (!backend.IsRemoved)
        {
            return false;
        }
        var now = _time.GetTimestamp();
        return _time.GetElapsedTime(pool.RetiredAt ??= now, now) > Grace;
    }
}
