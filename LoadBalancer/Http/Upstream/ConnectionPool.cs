using System.Net;
using System.Net.Security;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// The connections to one backend: those in use, and those that lie idle until the next request takes the warmest. Idle ones lie on
/// a shelf for each thread: the one that serves a connection's events returns it, and finds it there again. So a request, its client's
/// socket and its backend's socket mostly stay on one thread and in one core's caches, as in nginx, where each worker has
/// connections of its own.
/// </summary>
internal sealed class ConnectionPool(Backend backend, PoolOptions options, BackendTrust trust, TimeProvider time) : IDisposable
{
    // Longer than most pauses between requests, shorter than most servers' patience (nginx 75 s, Kestrel 130 s). Servers with less
    // close the connection, which is noticed at once.
    private static readonly TimeSpan MaxIdle = TimeSpan.FromSeconds(60);

    // A name may come to mean another address; then connections to the old one must end some time.
    private static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(15);

    private static int _threads;

    [ThreadStatic]
    private static int _thread; // that is no event loop's; numbered from 1, in the order in which threads first came by

    private readonly bool _isTls = backend.Address.Scheme == "https";
    private readonly bool _isName = !IPAddress.TryParse(backend.Address.Host, out _);
    private readonly Lock _gate = new();
    private readonly HashSet<BackendConnection> _all = [];
    private readonly Shelf[] _shelves = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new Shelf())];
    private readonly Dialer _dialer = new(backend.Address, options, trust, time);
    private readonly HeaderLine?[] _knownLines = new HeaderLine?[HeaderLines.UsualMost];
    private bool _disposed;
    private int _opening;

    /// <summary>Those that speak HTTP/2, which carry many requests each.</summary>
    public Http2Connections Http2 { get; } = new(backend.Address, options, trust, time);

    /// <summary>When its backend was first seen to have left; a timestamp of the clock.</summary>
    public long? RetiredAt { get; set; }

    /// <summary>Whether there is no HTTP/1.1 connection: in use, idle, or about to be opened.</summary>
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

    /// <summary>Takes an idle connection, the last one that this thread used if there is one, or null where none is left.</summary>
    public BackendConnection? TryTake()
    {
        var own = OwnShelf();
        for (var i = 0; i < _shelves.Length; i++)
        {
            while (_shelves[(own + i) % _shelves.Length].TryPop() is { } connection)
            {
                if (connection.TryWake())
                {
                    return connection;
                }
                Drop(connection);
            }
        }
        return null;
    }

    /// <summary>Opens a new connection.</summary>
    /// <param name="wantsHttp1">Whether the request can only go over HTTP/1.1.</param>
    /// <param name="clientGone">Cancelled when nobody waits for it any longer.</param>
    /// <returns>The connection; null where TLS has negotiated HTTP/2, which <see cref="Http2"/> speaks.</returns>
    /// <exception cref="ForwardException">It could not be opened, or not in time.</exception>
    public async Task<BackendConnection?> OpenAsync(bool wantsHttp1, CancellationToken clientGone)
    {
        Interlocked.Increment(ref _opening);
        try
        {
            IRestingWire wire;
            if (!_isTls)
            {
                wire = await _dialer.OpenWireAsync(clientGone);
            }
            else
            {
                var (socket, tls) = await _dialer.OpenTlsAsync(wantsHttp1 ? BackendTrust.Http1Only : BackendTrust.AnyHttp, clientGone);
                if (tls.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2)
                {
                    Http2.TakeOver(tls);
                    return null;
                }
                wire = new TlsWire(socket, tls, trust.Logger);
            }
            var connection = new BackendConnection(wire, time, _knownLines);
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

    /// <summary>Takes back a connection whose exchange is complete on both sides.</summary>
    public void Return(BackendConnection connection)
    {
        if (_isName && time.GetElapsedTime(connection.OpenedAt) > MaxAge || !connection.TryRest(OnClosed))
        {
            Drop(connection);
            return;
        }
        _shelves[OwnShelf()].Push(connection);
        if (Volatile.Read(ref _disposed))
        {
            Dispose();
        }
    }

    /// <summary>Closes a connection for good.</summary>
    public void Drop(BackendConnection connection)
    {
        lock (_gate)
        {
            _all.Remove(connection);
        }
        connection.Dispose();
    }

    /// <summary>Aborts what is past its deadline and closes what has been idle for too long.</summary>
    public void Sweep()
    {
        var now = time.GetTimestamp();
        BackendConnection[] all;
        lock (_gate)
        {
            all = [.. _all];
        }
        foreach (var connection in all)
        {
            connection.CheckDeadline(now);
        }
        Http2.Sweep();
        foreach (var shelf in _shelves)
        {
            shelf.TakeWhere(connection => time.GetElapsedTime(connection.IdleSince, now) >= MaxIdle).ForEach(Drop);
        }
    }

    /// <summary>Closes the idle connections; those in use are closed as they come back.</summary>
    public void Dispose()
    {
        Volatile.Write(ref _disposed, true);
        Http2.Dispose();
        foreach (var shelf in _shelves)
        {
            shelf.TakeWhere(_ => true).ForEach(Drop);
        }
    }

    private int OwnShelf()
    {
        if (OperatingSystem.IsLinux() && EventLoop.Current is { } loop)
        {
            return loop.Index;
        }
        if (_thread == 0)
        {
            _thread = Interlocked.Increment(ref _threads);
        }
        return _thread % _shelves.Length;
    }

    // It stays among the idle ones until somebody takes it, or it has been there for too long.
    private void OnClosed(BackendConnection connection)
    {
        Drop(connection);
        backend.Doubt();
    }

    /// <summary>The coldest lies at the bottom.</summary>
    private sealed class Shelf
    {
        private readonly Lock _gate = new();
        private readonly List<BackendConnection> _connections = [];

        public void Push(BackendConnection connection)
        {
            lock (_gate)
            {
                _connections.Add(connection);
            }
        }

        public BackendConnection? TryPop()
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

        public List<BackendConnection> TakeWhere(Predicate<BackendConnection> isMeant)
        {
            lock (_gate)
            {
                var taken = _connections.FindAll(isMeant);
                if (taken.Count > 0)
                {
                    _connections.RemoveAll(isMeant);
                }
                return taken;
            }
        }
    }
}
