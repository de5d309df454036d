using System.Net;
using System.Net.Security;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// The HTTP/2 connections to one backend. Each event loop has one of its own, so that a request, its client's socket and its backend's
/// socket stay on one thread; more are opened where the backend accepts no more streams on those that there are.
/// </summary>
internal sealed class Http2Connections : IDisposable
{
    // A backend that accepts few streams on each connection gets as many connections as requests, up to this.
    private const int MaxConnections = 256;

    // Before the backend has said how many streams it accepts: the least that RFC 9113 recommends.
    private const int UsualStreams = 100;

    // Requests that come from no event loop (of HTTP/2 clients) share one connection up to this many, before the next core is used too.
    private const int WorthAnother = 16;

    /// <summary>The size of fields from which on it must be known what the backend accepts: none is known to accept less.</summary>
    public const int LargeHead = 4 * 1024;

    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);

    private readonly Backend _backend;
    private readonly PoolOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Dialer _dialer;
    private readonly bool _isName;
    private readonly HeaderLine?[] _known = new HeaderLine?[HeaderLines.KnownLines];
    // Never held while a connection's lock is taken, nor taken inside one.
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource> _waiting = [];
    private readonly List<int> _dialing = []; // the event loops for which a connection is being opened; -1 for none
    private volatile Http2Connection[] _all = []; // replaced with the lock
    private volatile int _waitingCount;
    private long? _dialFailedAt;
    private volatile bool _isSpoken;
    private volatile IReadOnlyList<IPAddress>? _seen; // the addresses of the backend's name when they were looked at last

    /// <summary>Makes the pool of connections; none is opened yet.</summary>
    public Http2Connections(Backend backend, PoolOptions options, BackendTrust trust, TimeProvider time)
    {
        (_backend, _options, _time, _logger) = (backend, options, time, trust.Logger);
        _dialer = new Dialer(backend, options, trust, time);
        _isName = backend.Address.IsName;
        _isSpoken = !IsNegotiated && options.HttpVersion == HttpVersion.Version20;
    }

    /// <summary>Whether TLS negotiates the version, for each connection again.</summary>
    public bool IsNegotiated => _backend.Address.Scheme == "https";

    /// <summary>Whether requests should use HTTP/2: the pool's options say so, or the backend has negotiated it the last time.</summary>
    public bool IsSpoken => _isSpoken;

    /// <summary>How many streams the backend accepts on a connection, as far as it is known.</summary>
    public long MaxStreams { get; set; } = UsualStreams;

    /// <summary>
    /// The largest head of a request that the backend accepts (SETTINGS_MAX_HEADER_LIST_SIZE), as far as it is known. A larger one would be
    /// taken for a fault of the backend, although it is the client's.
    /// </summary>
    public long MaxHeadSize { get; set; } = long.MaxValue;

    /// <summary>Whether there is no connection, open or being opened.</summary>
    public bool IsEmpty
    {
        get
        {
            lock (_gate)
            {
                return _all.Length == 0 && _dialing.Count == 0;
            }
        }
    }

    /// <summary>Takes a connection on which HTTP/2 was negotiated; from now on requests should use HTTP/2.</summary>
    public void TakeOver(IReusableConnection connection)
    {
        if (_isSpoken && _all.Length > 0)
        {
            connection.Dispose(); // Another request was first, and one connection is enough.
            return;
        }
        _isSpoken = true;
        Adopt(connection);
    }

    /// <summary>Starts a request.</summary>
    /// <exception cref="ForwardException">It must not be passed on, or there is no connection for it.</exception>
    public Task<HttpResponseMessage> SendAsync(ForwardRequest request)
    {
        var exchange = new Http2Exchange(request, _options.Timeouts, _time, IsNegotiated);
        return !NeedsSettings(exchange, request) && _waitingCount == 0 && TryStart(exchange, mayLeaveLoop: false)
            ? Task.FromResult<HttpResponseMessage>(exchange)
            : WaitAndStartAsync(exchange, request);
    }

    /// <summary>Checks deadlines, and closes connections that are silent, idle or old, or whose address has left.</summary>
    public void Sweep()
    {
        EndThoseThatLeft();
        foreach (var connection in _all)
        {
            connection.Sweep();
            if (_isName && _time.GetElapsedTime(connection.OpenedAt) > ConnectionLifetime.MaxAge)
            {
                connection.Drain();
            }
        }
    }

    /// <summary>A stream has ended, or more are allowed: the request that waits longest may start.</summary>
    public void NoteRoom()
    {
        if (_waitingCount > 0)
        {
            Wake(1);
        }
    }

    /// <summary>A connection was closed.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="isSuspect">Whether the backend should be probed.</param>
    public void Remove(Http2Connection connection, bool isSuspect)
    {
        lock (_gate)
        {
            _all = [.. _all.Where(other => other != connection)];
        }
        if (isSuspect)
        {
            _backend.Suspect();
        }
        Wake(int.MaxValue); // They open another one.
    }

    /// <summary>Lets the connections end: each is closed once it has no stream. A late request may open another one.</summary>
    public void Dispose()
    {
        foreach (var connection in _all)
        {
            connection.Drain();
        }
    }

    /// <summary>Starts a request where there is room for it.</summary>
    /// <param name="exchange">The request.</param>
    /// <param name="mayLeaveLoop">Whether it may use another event loop's connection although its own loop has none yet.</param>
    private bool TryStart(Http2Exchange exchange, bool mayLeaveLoop)
    {
        if (_backend.Hosts?.Current != _seen)
        {
            EndThoseThatLeft();
        }
        var all = _all;
        var own = OwnLoop();
        Http2Connection? best = null;
        foreach (var connection in all)
        {
            mayLeaveLoop |= own < 0 || connection.Home == own;
            if (connection.Home == own && own >= 0 && exchange.TryStart(connection))
            {
                return true;
            }
            best = best is null || connection.Streams < best.Streams ? connection : best;
        }
        if (best is null || !mayLeaveLoop)
        {
            return false;
        }
        if (own < 0 && best.Streams >= WorthAnother && all.Length < Environment.ProcessorCount)
        {
            DialIfWanted(isWanted: true); // For the next ones.
        }
        return exchange.TryStart(best) || Array.Exists(all, exchange.TryStart);
    }

    // Those to an address that is no longer one of the backend's name.
    private void EndThoseThatLeft()
    {
        if (_backend.Hosts is not { } hosts)
        {
            return;
        }
        var now = hosts.Current;
        foreach (var connection in _all)
        {
            if (connection.Peer is { } peer && !hosts.Holds(peer))
            {
                connection.Drain();
            }
        }
        _seen = now;
    }

    // TLS is the framework's, which is not on an event loop.
    private int OwnLoop() => IoThread.IsEventLoop && !IsNegotiated ? IoThread.Number : -1;

    private async Task<HttpResponseMessage> WaitAndStartAsync(Http2Exchange exchange, ForwardRequest request)
    {
        try
        {
            using var unwanted = CancellationTokenSource.CreateLinkedTokenSource(request.Context.RequestAborted, request.Superseded);
            using var late = new CancellationTokenSource(_options.Timeouts.Response, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(unwanted.Token, late.Token);
            try
            {
                await WaitAndStartAsync(exchange, request, either.Token);
                return exchange;
            }
            catch (OperationCanceledException)
            {
                throw unwanted.IsCancellationRequested
                    ? new ForwardException(ForwardError.ClientGone, "the client went away")
                    : new ForwardException(ForwardError.Busy, "the backend accepts no more streams");
            }
        }
        catch
        {
            exchange.Dispose();
            throw;
        }
    }

    private async Task WaitAndStartAsync(Http2Exchange exchange, ForwardRequest request, CancellationToken cancellationToken)
    {
        for (var mayLeaveLoop = false; ; mayLeaveLoop = true)
        {
            var wait = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var node = Enqueue(wait); // Before it looks for room, so that none is missed.
            try
            {
                if (NeedsSettings(exchange, request))
                {
                    await CheckSettingsAsync(exchange, request, cancellationToken);
                }
                if (TryStart(exchange, mayLeaveLoop))
                {
                    return;
                }
                DialIfWanted(isWanted: false);
                await wait.Task.WaitAsync(cancellationToken);
            }
            finally
            {
                if (!Dequeue(node) && !wait.Task.IsFaulted)
                {
                    NoteRoom(); // It may have taken the room of the next one in the queue.
                }
            }
        }
    }

    // Whether it must be known first what the backend accepts.
    private bool NeedsSettings(Http2Exchange exchange, ForwardRequest request) =>
        request.IsHttp2Upgrade || exchange.HeadSize > Math.Min(LargeHead, MaxHeadSize);

    // A backend that has not announced WebSockets would take one for a plain request.
    private async Task CheckSettingsAsync(Http2Exchange exchange, ForwardRequest request, CancellationToken cancellationToken)
    {
        if (Array.Find(_all, connection => !connection.IsEnding) is { } connection)
        {
            await connection.HasSettings.WaitAsync(cancellationToken);
            if (exchange.HeadSize > MaxHeadSize)
            {
                throw new ForwardException(ForwardError.HeadTooLarge, $"it accepts heads of at most {MaxHeadSize} bytes");
            }
            if (request.IsHttp2Upgrade && !connection.TakesExtendedConnect)
            {
                throw new ForwardException(ForwardError.Upgrade, "it does not announce WebSocket over HTTP/2 (RFC 8441)");
            }
        }
    }

    private LinkedListNode<TaskCompletionSource> Enqueue(TaskCompletionSource wait)
    {
        lock (_gate)
        {
            var node = _waiting.AddLast(wait);
            _waitingCount = _waiting.Count;
            return node;
        }
    }

    private bool Dequeue(LinkedListNode<TaskCompletionSource> node)
    {
        lock (_gate)
        {
            var isWaiting = node.List is not null;
            if (isWaiting)
            {
                _waiting.Remove(node);
                _waitingCount = _waiting.Count;
            }
            return isWaiting;
        }
    }

    private void Wake(int most, Exception? failure = null)
    {
        lock (_gate)
        {
            for (; most > 0 && _waiting.First is { } first; most--)
            {
                _waiting.RemoveFirst();
                _ = failure is null ? first.Value.TrySetResult() : first.Value.TrySetException(failure);
            }
            _waitingCount = _waiting.Count;
        }
    }

    private void DialIfWanted(bool isWanted)
    {
        var own = OwnLoop();
        var isServed = IsServed();
        lock (_gate)
        {
            var lacksOwn = own >= 0 && !_dialing.Contains(own) && !Array.Exists(_all, connection => connection.Home == own);
            isWanted = isWanted ? _dialing.Count == 0 : lacksOwn
                || _waiting.Count > _dialing.Count * MaxStreams && (MaxStreams > 0 || !isServed && _dialing.Count == 0);
            var isPaused = isServed && _dialFailedAt is { } at && _time.GetElapsedTime(at) < PauseAfterFailure;
            if (!isWanted || isPaused || _all.Length + _dialing.Count >= MaxConnections)
            {
                return;
            }
            _dialing.Add(own);
        }
        BackgroundTask.Run(DialAsync(own), _logger, "opening a connection over HTTP/2");
    }

    private async Task DialAsync(int own)
    {
        Exception? failure = null;
        try
        {
            Adopt(await OpenAsync());
        }
        catch (Exception e) // Of whatever kind: the requests that wait would wait for ever.
        {
            failure = e;
        }
        lock (_gate)
        {
            _dialing.Remove(own);
            _dialFailedAt = failure is null ? null : _time.GetTimestamp();
        }
        // Where there are other connections, the requests go on with these.
        Wake(int.MaxValue, IsServed() ? null : failure);
    }

    // Whether there is a connection on which streams can start, now or once others have ended.
    private bool IsServed() => Array.Exists(_all, connection => !connection.IsEnding);

    private async Task<IReusableConnection> OpenAsync()
    {
        if (!IsNegotiated)
        {
            return await _dialer.OpenAsync(CancellationToken.None);
        }
        var tls = await _dialer.OpenTlsAsync(BackendTrust.AnyHttp, CancellationToken.None);
        if (tls.Protocol != SslApplicationProtocol.Http2)
        {
            tls.Dispose();
            _isSpoken = false; // The next request negotiates again.
            throw new ForwardException(ForwardError.Connect, "it no longer speaks HTTP/2") { IsOtherVersion = true };
        }
        return tls;
    }

    private void Adopt(IReusableConnection opened)
    {
        var connection = new Http2Connection(opened, this, _time, _logger);
        lock (_gate)
        {
            _all = [.. _all, connection];
        }
        connection.Begin(new Http2Receiver(_known));
    }
}
