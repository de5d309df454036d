using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>Lets Kestrel listen on one of the two transports.</summary>
/// <param name="isEpoll">Whether on event loops, which only Linux has; else on sockets of the framework.</param>
/// <param name="bind">Binds a socket.</param>
/// <param name="options">The limits of its connections.</param>
/// <param name="time">The clock.</param>
/// <param name="loggers">Make its loggers.</param>
internal sealed class KestrelTransport(
    bool isEpoll, Func<EndPoint, ListenSocket> bind, KestrelTransportOptions options, TimeProvider time, ILoggerFactory loggers)
    : IConnectionListenerFactory
{
    private readonly List<Action> _stops = [];

    /// <summary>Accepts nothing more. What was accepted goes on.</summary>
    public void StopAccepting() => _stops.ForEach(stop => stop());

    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        try
        {
            var socket = bind(endpoint);
            if (isEpoll && OperatingSystem.IsLinux())
            {
                var epoll = new EpollClientListener(socket, options, time, loggers);
                _stops.Add(epoll.StopAccepting);
                return new(epoll);
            }
            var framework = new SocketClientListener(socket, options, time, loggers);
            _stops.Add(framework.StopAccepting);
            return new(framework);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new AddressInUseException(e.Message, e);
        }
    }
}

/// <summary>The limits of a listener's connections.</summary>
internal sealed record KestrelTransportOptions
{
    /// <summary>
    /// How long a client may send nothing, and not end its half either, after we have ended ours; as nginx's lingering_timeout.
    /// </summary>
    public static readonly TimeSpan MostSilence = TimeSpan.FromSeconds(5);

    /// <summary>How long what a client sends after our end is read and thrown away in all; as nginx's lingering_time.</summary>
    public static readonly TimeSpan MostLingering = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long that goes on at the most once the listener is closed. What a client of HTTP/2 had sent before it heard of the end would
    /// else be answered with a reset, and the client might not see which of its requests it can send again.
    /// </summary>
    public static readonly TimeSpan LastLingering = TimeSpan.FromSeconds(1);

    /// <summary>The listener's name.</summary>
    public string Listener { get; init; } = "";

    /// <summary>How many connections there may be; null where there is no limit.</summary>
    public ConnectionLimit? Limit { get; init; }

    /// <summary>How long a client may take none of the bytes that wait for it, before its connection is reset.</summary>
    public Func<TimeSpan> SendTimeout { get; init; } = () => TimeSpan.FromSeconds(100);

    /// <summary>
    /// What is done with a new connection before Kestrel gets it, such as a TLS handshake; null for nothing. It gives false, and does not
    /// throw, where the connection is over, and ends early when its token is cancelled: the listener stops. Only on event loops, where the
    /// connection stays on its loop meanwhile; each connection that Kestrel gets costs a change of threads.
    /// </summary>
    public Func<ConnectionContext, CancellationToken, Task<bool>>? Prepare { get; init; }

    /// <summary>
    /// How long a connection may be idle in all while it is parked between two requests; null where connections are not parked. Only plain
    /// HTTP/1.1 can be, and only on event loops: a connection with TLS or HTTP/2 has state beside its requests
    /// (<see cref="RequestBoundary.HasState"/>).
    /// </summary>
    public Func<TimeSpan>? ParkedTimeout { get; init; }

    /// <summary>How long it is idle before it is parked: long enough to be worth a new connection object at its end.</summary>
    public TimeSpan ParkAfter { get; init; } = TimeSpan.FromSeconds(5);
}
