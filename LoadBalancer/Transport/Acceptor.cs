using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>A connection that was accepted.</summary>
/// <param name="Connection">The connection; the receiver must dispose of it.</param>
/// <param name="Local">Our end.</param>
/// <param name="Remote">The client's end; of a Unix socket its own address, because clients have none there.</param>
internal readonly record struct AcceptedConnection(ISocketConnection Connection, EndPoint Local, EndPoint Remote);

/// <summary>
/// Accepts the connections of a listener without Kestrel, on the transport of this process. On epoll they are spread over the event
/// loops in turn.
/// </summary>
internal sealed class Acceptor : IDisposable
{
    private readonly string _listener;
    private readonly EndpointAddress _address;
    private readonly UnixFileMode? _mode;
    private readonly ListenSockets _sockets;
    private readonly Action<AcceptedConnection> _accepted;
    private readonly ConnectionLimit _limit;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly List<IDisposable> _loops = [];
    private EndpointAddress _listensOn;

    /// <summary>Makes it; it accepts from <see cref="Start"/> on.</summary>
    /// <param name="listener">The listener's name.</param>
    /// <param name="address">Where to listen; see <see cref="ListenAddress.EndPoints"/>.</param>
    /// <param name="maxConnections">How many connections there may be at once; null where there is no limit.</param>
    /// <param name="accepted">
    /// Given each connection; must neither block nor throw. What it starts continues in the connection's event loop after its first wait.
    /// </param>
    /// <param name="sockets">Binds the address.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Make its loggers.</param>
    /// <param name="mode">Who may connect to a Unix socket; null for the user and the group of this process.</param>
    public Acceptor(
        string listener, EndpointAddress address, int? maxConnections, Action<AcceptedConnection> accepted, ListenSockets sockets,
        TimeProvider time, ILoggerFactory loggers, UnixFileMode? mode = null)
    {
        _mode = mode;
        (_listener, _address, _listensOn, _accepted, _sockets, _time) = (listener, address, address, accepted, sockets, time);
        _limit = new ConnectionLimit(listener, maxConnections, time, loggers.CreateLogger<ConnectionLimit>());
        _logger = loggers.CreateLogger<Acceptor>();
    }

    /// <summary>
    /// Where it listens; with the port that the system has chosen, where port 0 was asked for, from <see cref="Start"/> on.
    /// </summary>
    public EndpointAddress Address => _listensOn;

    /// <summary>How many connections there may be at once; null where there is no limit.</summary>
    public int? MaxConnections
    {
        get => _limit.Most;
        set => _limit.Most = value;
    }

    /// <summary>Connections that are open.</summary>
    public int Connections => _limit.Open;

    /// <summary>Connections that were closed at once because of the limit.</summary>
    public long Refused => _limit.Refused;

    /// <summary>Starts to listen.</summary>
    /// <exception cref="StartException">The address cannot be listened on.</exception>
    public void Start()
    {
        try
        {
            foreach (var one in ListenAddress.EndPoints(_address))
            {
                var socket = _sockets.Open(SocketType.Stream, one, _mode);
                _listensOn = _address with { Port = socket.Port };
                _loops.Add(Accept(socket, _listener, _limit, _accepted, _time, _logger));
            }
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressNotAvailable && _loops.Count > 0)
        {
            // The machine supports IPv6, but it is switched off.
        }
        catch (SocketException e)
        {
            Dispose();
            throw new StartException($"listener '{_listener}': cannot listen on {_address}: {ListenAddress.WhyNot(e)}", e);
        }
    }

    /// <summary>Accepts nothing more. Open connections go on.</summary>
    public void Dispose() => _loops.ForEach(loop => loop.Dispose());

    /// <summary>Takes over a bound socket, listens on it, and accepts until the result is disposed.</summary>
    /// <param name="bound">The socket.</param>
    /// <param name="listener">The listener's name, for the log.</param>
    /// <param name="limit">Counts its connections.</param>
    /// <param name="accepted">Given each connection; must neither block nor throw.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Logs when connections cannot be accepted.</param>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public static IDisposable Accept(
        ListenSocket bound, string listener, ConnectionLimit limit, Action<AcceptedConnection> accepted, TimeProvider time, ILogger logger)
    {
        Action closed = limit.Leave;
        return TransportChoice.IsEpoll
            ? AcceptOnLoops(bound, listener, limit, accepted, closed, time, logger)
            : SocketAcceptLoop.Start(
                bound, listener, limit,
                (socket, local, remote) => accepted(new(new SocketConnection(socket, closed), local, remote)),
                time, logger);
    }

    [SupportedOSPlatform("linux")]
    private static EpollAcceptLoop AcceptOnLoops(
        ListenSocket bound, string listener, ConnectionLimit limit, Action<AcceptedConnection> accepted, Action closed, TimeProvider time,
        ILogger logger) => EpollAcceptLoop.Start(
            bound, listener, limit,
            (file, local, remote) => accepted(new(new EpollConnection(file, EventLoop.Next(), closed), local, remote)),
            time, logger);
}
