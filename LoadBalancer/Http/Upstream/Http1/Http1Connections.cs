using System.Net.Security;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// The connections to one backend: those in use, and the idle ones, of which the next request takes the one used last. Each thread has a
/// stack of idle connections: the thread that serves a connection's events returns it there, and takes it from there again. So a request,
/// its client's socket and its backend's socket mostly stay on one thread and in one core's caches, as in nginx, where each worker has
/// its own connections.
/// </summary>
/// <param name="backend">The backend.</param>
/// <param name="options">The options of its pool.</param>
/// <param name="trust">Checks its certificate.</param>
/// <param name="time">The clock.</param>
/// <param name="takeOver">Gets a connection for which TLS has negotiated HTTP/2.</param>
internal sealed class Http1Connections(
    Backend backend, PoolOptions options, BackendTrust trust, TimeProvider time, Action<IReusableConnection> takeOver) : IDisposable
{
    private readonly bool _isTls = backend.Address.Scheme == "https";
    private readonly bool _isName = backend.Address.IsName;
    private readonly Lock _gate = new();
    private readonly HashSet<Http1Connection> _all = [];
    private readonly IdleStack[] _stacks = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new IdleStack())];
    private readonly Dialer _dialer = new(backend, options, trust, time);
    private readonly HeaderLine?[] _knownLines = new HeaderLine?[HeaderLines.KnownLines];
    private bool _disposed;
    private int _opening;

    /// <summary>The backend.</summary>
    public Backend Backend => backend;

    /// <summary>Whether there is no connection: in use, idle, or being opened.</summary>
    public bool IsEmpty
    {
        get
        {
            lock (_gate)
            {
                return _all.Count == 0 && Volatile.Read(ref _opening) == 0;
            }
        }
    }

    /// <summary>Takes an idle connection, preferably the one that this thread used last; null where there is none.</summary>
    public Http1Connection? TryTake()
    {
        var own = OwnStack();
        for (var i = 0; i < _stacks.Length; i++)
        {
            while (_stacks[(own + i) % _stacks.Length].TryPop() is { } connection)
            {
                if (!connection.IsExpired && LeadsToBackend(connection) && connection.TryResume())
                {
                    return connection;
                }
                Drop(connection);
            }
        }
        return null;
    }

    /// <summary>Takes the connection that is bound to a request's client; null where there is none.</summary>
    public Http1Connection? TryTakeBound(HttpContext context)
    {
        if (BoundConnections.Find(context)?.TryTake(this, out var connection) != true)
        {
            return null;
        }
        if (time.GetElapsedTime(connection!.IdleSince) < connection.MaxIdle && LeadsToBackend(connection) && connection.TryResume())
        {
            return connection;
        }
        Drop(connection);
        return null;
    }

    /// <summary>Keeps a connection for the client of a request alone; see <see cref="BoundConnections"/>.</summary>
    /// <param name="connection">The connection; its exchange is complete in both directions.</param>
    /// <param name="idleTimeout">How long the backend keeps it open while it is idle, if it says so.</param>
    /// <param name="context">The request.</param>
    public void Bind(Http1Connection connection, TimeSpan? idleTimeout, HttpContext context)
    {
        connection.IsBound = true;
        if (BoundConnections.Make(context) is not { } bound
            || !connection.TryPark(ConnectionLifetime.IdleOf(idleTimeout), OnClosed)
            || !bound.TryPut(this, connection, out var replaced))
        {
            Drop(connection);
        }
        else if (replaced is not null)
        {
            Drop(replaced);
        }
    }

    /// <summary>Opens a new connection.</summary>
    /// <param name="wantsHttp1">Whether only HTTP/1.1 is offered to a TLS backend.</param>
    /// <param name="clientGone">Cancelled when the connection is no longer needed.</param>
    /// <returns>The connection; null where TLS has negotiated HTTP/2, and it was handed on.</returns>
    /// <exception cref="ForwardException">It could not be opened, or not in time.</exception>
    public async Task<Http1Connection?> OpenAsync(bool wantsHttp1, CancellationToken clientGone)
    {
        Interlocked.Increment(ref _opening);
        try
        {
            IReusableConnection opened;
            if (!_isTls)
            {
                opened = await _dialer.OpenAsync(clientGone);
            }
            else
            {
                var tls = await _dialer.OpenTlsAsync(wantsHttp1 ? BackendTrust.Http1Only : BackendTrust.AnyHttp, clientGone);
                if (tls.Protocol == SslApplicationProtocol.Http2)
                {
                    takeOver(tls);
                    return null;
                }
                opened = tls;
            }
            var connection = new Http1Connection(opened, time, _knownLines);
            lock (_gate)
            {
                _all.Add(connection);
            }
            return connection;
        }
        finally
        {
            Interlocked.Decrement(ref _opening);
        }
    }

    /// <summary>Takes back a connection whose exchange is complete in both directions.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="idleTimeout">How long the backend keeps it open while it is idle, if it says so.</param>
    public void Return(Http1Connection connection, TimeSpan? idleTimeout)
    {
        if (_isName && time.GetElapsedTime(connection.OpenedAt) > ConnectionLifetime.MaxAge
            || !connection.TryPark(ConnectionLifetime.IdleOf(idleTimeout), OnClosed))
        {
            Drop(connection);
            return;
        }
        _stacks[OwnStack()].Push(connection);
        if (Volatile.Read(ref _disposed))
        {
            Dispose();
        }
    }

    /// <summary>Closes a connection.</summary>
    public void Drop(Http1Connection connection)
    {
        lock (_gate)
        {
            _all.Remove(connection);
        }
        connection.Dispose();
    }

    /// <summary>
    /// Aborts connections that are past their deadline, and closes those that were idle for too long, or whose address has left.
    /// </summary>
    public void Sweep()
    {
        var now = time.GetTimestamp();
        Http1Connection[] all;
        lock (_gate)
        {
            all = [.. _all];
        }
        foreach (var connection in all)
        {
            connection.CheckDeadline(now);
        }
        foreach (var stack in _stacks)
        {
            stack.TakeWhere(connection => time.GetElapsedTime(connection.IdleSince, now) >= connection.MaxIdle
                || !LeadsToBackend(connection)).ForEach(Drop);
        }
    }

    /// <summary>Closes the idle connections; those in use are closed when they are returned.</summary>
    public void Dispose()
    {
        Volatile.Write(ref _disposed, true);
        foreach (var stack in _stacks)
        {
            stack.TakeWhere(_ => true).ForEach(Drop);
        }
    }

    // Whether its address is still one of those of the backend's name.
    private bool LeadsToBackend(Http1Connection connection) =>
        backend.Hosts is not { } hosts || connection.Peer is not { } peer || hosts.Holds(peer);

    private int OwnStack() => IoThread.Number % _stacks.Length;

    // It stays on its stack until it is taken, or was there for too long.
    private void OnClosed(Http1Connection connection)
    {
        Drop(connection);
        backend.Suspect();
    }

    /// <summary>The idle connections of one thread, the one used last on top.</summary>
    private sealed class IdleStack
    {
        private readonly Lock _gate = new();
        private readonly List<Http1Connection> _connections = [];

        public void Push(Http1Connection connection)
        {
            lock (_gate)
            {
                _connections.Add(connection);
            }
        }

        public Http1Connection? TryPop()
        {
            lock (_gate)
            {
                if (_connections.Count == 0)
                {
                    return null;
                }
                var connection = _connections[^1];
                _connections.RemoveAt(_connections.Count - 1);
                return connection;
            }
        }

        public List<Http1Connection> TakeWhere(Predicate<Http1Connection> matches)
        {
            lock (_gate)
            {
                var taken = _connections.FindAll(matches);
                if (taken.Count > 0)
                {
                    _connections.RemoveAll(matches);
                }
                return taken;
            }
        }
    }
}
