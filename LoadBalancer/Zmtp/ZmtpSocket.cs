using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A socket in ZeroMQ's sense: any number of peers that connect to it or that it connects to, ZMTP 3.1 with the NULL mechanism. A peer
/// that breaks the protocol is disconnected; the fault is counted and reported to <see cref="Faulted"/>.
/// </summary>
/// <remarks>
/// Handlers are called on the thread that received the bytes, and must not block. For one peer the calls come one after the other; for
/// different peers they may run at the same time.
/// </remarks>
public abstract class ZmtpSocket : IAsyncDisposable
{
    private const int MostIdentity = 255;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly HashSet<ZmtpPeer> _peers = [];
    private readonly List<IAsyncDisposable> _sources = []; // listeners and connectors
    private readonly ITimer _sweep;
    private bool _isDisposed;

    private protected ZmtpSocket(ZmtpSocketType type, ZmtpLimits? limits, TimeProvider? time)
    {
        (Type, Limits, Time) = (type, limits ?? new ZmtpLimits(), time ?? TimeProvider.System);
        Buffers = new BufferBudget(Limits.BufferedBytes, Time);
        _sweep = Time.CreateTimer(static socket => ((ZmtpSocket)socket!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <summary>Its type.</summary>
    public ZmtpSocketType Type { get; }

    /// <summary>Its limits.</summary>
    public ZmtpLimits Limits { get; }

    /// <summary>Its counters.</summary>
    public ZmtpStatistics Statistics { get; } = new();

    /// <summary>The identity that a REQ, DEALER or ROUTER sends: 255 bytes at most, the first one not zero. Empty by default.</summary>
    /// <exception cref="ArgumentException">It is longer, or begins with a zero byte.</exception>
    public ReadOnlyMemory<byte> Identity
    {
        get;
        init => field = value.Length <= MostIdentity && (value.IsEmpty || value.Span[0] != 0) ? value
            : throw new ArgumentException("an identity has 255 bytes at most, the first one not zero", nameof(value));
    }

    /// <summary>Called when a peer is disconnected because of a fault: the peer, the fault, and a description.</summary>
    public Action<ZmtpPeer, ZmtpFault, string>? Faulted { get; init; }

    /// <summary>
    /// Logs unexpected errors in the background, and why connections cannot be accepted; nothing is logged by default.
    /// </summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>How many connections it has, those in the handshake included.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (_gate)
            {
                return _peers.Count;
            }
        }
    }

    /// <summary>The name of the load balancer's listener, for the log.</summary>
    internal string Name { get; init; } = "zmtp";

    /// <summary>The clock.</summary>
    internal TimeProvider Time { get; }

    /// <summary>Bounds what its peers have in buffers together.</summary>
    internal BufferBudget Buffers { get; }

    /// <summary>Listens.</summary>
    /// <param name="address">The address; port 0 takes any free port.</param>
    /// <returns>Where it listens now.</returns>
    /// <exception cref="SocketException">The port is taken, or the address is not ours.</exception>
    public IPEndPoint Bind(IPEndPoint address) => Bind(ListenSocket.BindTcp(address));

    /// <summary>The same, with a socket that is bound already.</summary>
    internal IPEndPoint Bind(ListenSocket bound)
    {
        var listener = new ZmtpListener(this, bound);
        Keep(listener);
        return listener.Address;
    }

    /// <summary>Stops listening; open connections stay.</summary>
    public async Task UnbindAsync()
    {
        List<ZmtpListener> listeners;
        lock (_gate)
        {
            listeners = [.. _sources.OfType<ZmtpListener>()];
            listeners.ForEach(listener => _sources.Remove(listener));
        }
        foreach (var listener in listeners)
        {
            await listener.DisposeAsync();
        }
    }

    /// <summary>Ends every connection in order, see <see cref="ZmtpPeer.End"/>; completes when they have ended.</summary>
    internal Task EndAllAsync()
    {
        List<ZmtpPeer> peers;
        lock (_gate)
        {
            peers = [.. _peers];
        }
        peers.ForEach(peer => peer.End());
        return Task.WhenAll(peers.Select(peer => peer.Ended));
    }

    /// <summary>
    /// Connects, and again whenever the connection ends, until the socket is disposed or <see cref="DisconnectAsync"/> is called.
    /// </summary>
    /// <param name="address">An <see cref="IPEndPoint"/> or <see cref="DnsEndPoint"/>.</param>
    public void Connect(EndPoint address) => Keep(new ZmtpConnector(this, address));

    /// <summary>Ends the connection to an address, and does not connect again; does nothing if there is none.</summary>
    public async Task DisconnectAsync(EndPoint address)
    {
        List<ZmtpConnector> connectors;
        lock (_gate)
        {
            connectors = [.. _sources.OfType<ZmtpConnector>().Where(connector => connector.Address.Equals(address))];
            connectors.ForEach(connector => _sources.Remove(connector));
        }
        foreach (var connector in connectors)
        {
            await connector.DisposeAsync();
        }
    }

    /// <summary>
    /// Stops listening and connecting, and ends every connection. Bytes that the system has taken are still sent; queued messages are not.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        List<IAsyncDisposable> sources;
        List<ZmtpPeer> peers;
        lock (_gate)
        {
            _isDisposed = true;
            (sources, peers) = ([.. _sources], [.. _peers]);
            _sources.Clear();
        }
        await _sweep.DisposeAsync();
        peers.ForEach(peer => peer.Close());
        foreach (var source in sources)
        {
            await source.DisposeAsync();
        }
        await Task.WhenAll(peers.Select(peer => peer.Ended));
        OnDisposed();
        GC.SuppressFinalize(this);
    }

    /// <summary>Takes over a connection that was accepted or opened, and serves it.</summary>
    /// <returns>Null if there are too many connections or the socket was disposed; the connection is closed then.</returns>
    internal ZmtpPeer? Attach(IConnection connection, EndPoint? remote)
    {
        var peer = new ZmtpPeer(this, connection, remote);
        bool isTaken, isDisposed;
        lock (_gate)
        {
            isDisposed = _isDisposed;
            isTaken = !isDisposed && _peers.Count < Limits.Connections;
            if (isTaken)
            {
                _peers.Add(peer);
            }
        }
        if (isTaken)
        {
            BackgroundTask.Run(peer.RunAsync(), Logger, "serving a ZeroMQ peer");
            return peer;
        }
        if (isDisposed)
        {
            peer.Close();
        }
        else
        {
            peer.Close(ZmtpFault.TooManyConnections, $"was rejected, because there are {Limits.Connections} connections already");
        }
        return null;
    }

    /// <summary>Called when a peer has finished the handshake.</summary>
    internal virtual ValueTask AdmitAsync(ZmtpPeer peer)
    {
        Statistics.CountHandshake();
        return ValueTask.CompletedTask;
    }

    /// <summary>Called when the peer was admitted; its messages follow.</summary>
    internal virtual void OnAdmitted(ZmtpPeer peer)
    {
    }

    /// <summary>Called with each message of a peer.</summary>
    internal abstract void OnMessage(ZmtpPeer peer, in ZmtpMessage message);

    /// <summary>Called when a peer subscribes or cancels a subscription.</summary>
    internal virtual void OnSubscription(ZmtpPeer peer, ReadOnlySpan<byte> prefix, bool isCancelled) =>
        throw new ZmtpException(ZmtpFault.Command, $"subscribed to something at a {Type.Name()}, which does not publish");

    /// <summary>Called when a peer is gone: once for each <see cref="OnAdmitted"/>, as the last call.</summary>
    internal virtual void OnGone(ZmtpPeer peer)
    {
    }

    /// <summary>Counts and reports a fault.</summary>
    internal void OnFault(ZmtpPeer peer, ZmtpFault fault, string reason)
    {
        Statistics.Count(fault);
        Faulted?.Invoke(peer, fault, reason);
    }

    /// <summary>Removes a peer whose connection has ended.</summary>
    internal void Remove(ZmtpPeer peer, bool wasAdmitted)
    {
        try
        {
            if (wasAdmitted)
            {
                OnGone(peer);
            }
        }
        catch (Exception e)
        {
            OnFault(peer, ZmtpFault.Internal, $"could not be removed: {e}");
        }
        lock (_gate)
        {
            _peers.Remove(peer);
        }
    }

    /// <summary>Called when the socket is disposed and all peers are gone.</summary>
    private protected virtual void OnDisposed()
    {
    }

    private void Keep(IAsyncDisposable source)
    {
        lock (_gate)
        {
            if (!_isDisposed)
            {
                _sources.Add(source);
                return;
            }
        }
        BackgroundTask.Run(source.DisposeAsync().AsTask(), Logger, "closing a ZeroMQ listener or connection");
        throw new ObjectDisposedException(GetType().Name);
    }

    private void Sweep()
    {
        ZmtpPeer[] peers;
        lock (_gate)
        {
            peers = [.. _peers];
        }
        var now = Time.GetTimestamp();
        foreach (var peer in peers)
        {
            peer.Inspect(now);
        }
    }
}
