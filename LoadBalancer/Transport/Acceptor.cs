using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>A connection that was accepted.</summary>
/// <param name="Wire">What it goes over; to be disposed of by whoever takes it. On Linux it is an <see cref="EpollWire"/>.</param>
/// <param name="Local">Our end.</param>
/// <param name="Remote">The client's end.</param>
internal readonly record struct AcceptedConnection(IWire Wire, IPEndPoint Local, IPEndPoint Remote);

/// <summary>
/// Accepts the connections of a listener that is not Kestrel's. On Linux they are dealt out to the event loops in turn; elsewhere they
/// are sockets of the framework.
/// </summary>
internal sealed partial class Acceptor : IDisposable
{
    private const int Backlog = 4096;

    // Elsewhere than on Linux too, somebody must free a file first.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly string _listener;
    private readonly EndpointAddress _address;
    private readonly Action<AcceptedConnection> _accepted;
    private readonly ConnectionLimit? _limit;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogGate _gate;
    private readonly List<IDisposable> _sockets = [];
    private EndpointAddress _listensOn;

    /// <summary>Makes it; it accepts from <see cref="Start"/> on.</summary>
    /// <param name="listener">The listener's name.</param>
    /// <param name="address">Where to listen: an IP address, localhost for both loopback addresses, or * for all there are.</param>
    /// <param name="maxConnections">How many connections there may be at once; null where there is no limit.</param>
    /// <param name="accepted">Given each connection; must neither block nor throw. What it begins goes on in the connection's own loop after its first wait.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Make its loggers.</param>
    public Acceptor(string listener, EndpointAddress address, int? maxConnections, Action<AcceptedConnection> accepted, TimeProvider time, ILoggerFactory loggers)
    {
        (_listener, _address, _listensOn, _accepted, _time) = (listener, address, address, accepted, time);
        _limit = maxConnections is { } most ? new ConnectionLimit(listener, most, time, loggers.CreateLogger<ConnectionLimit>()) : null;
        _logger = loggers.CreateLogger<Acceptor>();
        _gate = new LogGate(time);
    }

    /// <summary>Where it really listens, which is only known once it does where the port asked for is 0.</summary>
    public EndpointAddress Address => _listensOn;

    /// <summary>Connections that were closed at once because there were enough.</summary>
    public long Refused => _limit?.Refused ?? 0;

    /// <summary>Starts to listen.</summary>
    /// <exception cref="StartException">The address cannot be listened on.</exception>
    public void Start()
    {
        try
        {
            foreach (var ip in IPAddresses())
            {
                Listen(ip);
            }
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressNotAvailable && _sockets.Count > 0)
        {
            // The machine knows IPv6, but has switched it off.
        }
        catch (SocketException e)
        {
            Dispose();
            var reason = e.SocketErrorCode == SocketError.AddressAlreadyInUse ? "the port is taken by another program" : e.Message;
            throw new StartException($"listener '{_listener}': cannot listen on {_address}: {reason}", e);
        }
    }

    /// <summary>Accepts nothing more. The connections that there are live on.</summary>
    public void Dispose() => _sockets.ForEach(socket => socket.Dispose());

    private IPAddress[] IPAddresses() => _address.Host switch
    {
        "*" => [Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any],
        "localhost" => Socket.OSSupportsIPv6 ? [IPAddress.Loopback, IPAddress.IPv6Loopback] : [IPAddress.Loopback],
        var host => [IPAddress.Parse(host)],
    };

    private void Listen(IPAddress ip)
    {
        var socket = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (ip.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }
            socket.Bind(new IPEndPoint(ip, _address.Port));
            _listensOn = new EndpointAddress(_address.Scheme, _address.Host, ((IPEndPoint)socket.LocalEndPoint!).Port);
            if (OperatingSystem.IsLinux())
            {
                _sockets.Add(new EpollAcceptor(socket, _listener, _limit, _accepted, _time, _logger));
            }
            else
            {
                socket.Listen(Backlog);
                _sockets.Add(socket);
                BackgroundTask.Run(AcceptAllAsync(socket), _logger, $"listener '{_listener}': accepting connections");
            }
        }
        finally
        {
            if (!_sockets.Contains(socket))
            {
                socket.Dispose();
            }
        }
    }

    private async Task AcceptAllAsync(Socket listening)
    {
        while (true)
        {
            Socket socket;
            try
            {
                socket = await listening.AcceptAsync();
            }
            catch (SocketException e) when (e.SocketErrorCode is not (SocketError.OperationAborted or SocketError.Interrupted or SocketError.NotSocket))
            {
                if (e.SocketErrorCode is not (SocketError.ConnectionReset or SocketError.ConnectionAborted))
                {
                    if (_gate.TryPass())
                    {
                        LogCannotAccept(_listener, e.Message);
                    }
                    await Task.Delay(Patience, _time);
                }
                continue;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
            if (_limit?.TryEnter() == false)
            {
                socket.Dispose();
                continue;
            }
            Hand(new SocketWire(socket, _limit is null ? null : _limit.Leave), socket);
        }
    }

    private void Hand(SocketWire wire, Socket socket)
    {
        try
        {
            socket.NoDelay = true;
            _accepted(new AcceptedConnection(wire, (IPEndPoint)socket.LocalEndPoint!, (IPEndPoint)socket.RemoteEndPoint!));
        }
        catch (SocketException)
        {
            wire.Dispose(); // It was reset before we could look at it.
        }
    }

    [LoggerMessage(47, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted: {Reason}")]
    private partial void LogCannotAccept(string listener, string reason);

    [SupportedOSPlatform("linux")]
    private sealed class EpollAcceptor : IDisposable
    {
        private readonly Action<AcceptedConnection> _accepted;
        private readonly Action? _closed;
        private readonly ListenSocket _socket;

        public EpollAcceptor(Socket bound, string listener, ConnectionLimit? limit, Action<AcceptedConnection> accepted, TimeProvider time, ILogger logger)
        {
            (_accepted, _closed) = (accepted, limit is null ? null : limit.Leave);
            _socket = ListenSocket.Open(bound, Backlog, listener, limit, AcceptAll, time, logger);
            if (!_socket.TryAwaitArrival())
            {
                AcceptAll();
            }
        }

        public void Dispose() => _socket.Dispose();

        private void AcceptAll()
        {
            try
            {
                do
                {
                    while (!_socket.IsTurnOver && _socket.TryAccept() is var (file, local, remote))
                    {
                        _accepted(new AcceptedConnection(new EpollWire(file, EventLoop.Next(), _closed), local, remote));
                    }
                }
                while (!_socket.TryAwaitArrival());
            }
            catch (ObjectDisposedException)
            {
                // It does not listen any more.
            }
        }
    }
}
