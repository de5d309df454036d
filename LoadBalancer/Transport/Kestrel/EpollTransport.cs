using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>Lets Kestrel listen on sockets of the event loops.</summary>
/// <param name="createListenSocket">Makes a bound socket.</param>
/// <param name="options">What its connections are held to.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told where connections cannot be accepted.</param>
[SupportedOSPlatform("linux")]
internal sealed class EpollTransport(Func<EndPoint, Socket> createListenSocket, EpollOptions options, TimeProvider time, ILogger<EpollListener> logger)
    : IConnectionListenerFactory
{
    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        try
        {
            using var socket = createListenSocket(endpoint);
            return new(new EpollListener(socket, options, time, logger));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new AddressInUseException(e.Message, e);
        }
    }
}

/// <summary>What a listener's connections are held to.</summary>
internal sealed record EpollOptions
{
    /// <summary>The listener's name.</summary>
    public string Listener { get; init; } = "";

    /// <summary>How many connections may wait to be accepted.</summary>
    public int Backlog { get; init; } = 512;

    /// <summary>How many connections there may be; null where there is no limit.</summary>
    public ConnectionLimit? Limit { get; init; }

    /// <summary>How long a client may take nothing of what is to be sent to it, before its connection is reset.</summary>
    public Func<TimeSpan> SendTimeout { get; init; } = () => TimeSpan.FromSeconds(100);

    /// <summary>
    /// How long a connection may be idle in all while it is parked between two requests; null where connections are not parked, which only
    /// plain HTTP/1.1 can be: with TLS or HTTP/2 there is more to a connection than its requests.
    /// </summary>
    public TimeSpan? ParkedTimeout { get; init; }

    /// <summary>How long it is idle before it is parked: long enough to be worth the making of a new connection at its end.</summary>
    public TimeSpan ParkAfter { get; init; } = TimeSpan.FromSeconds(5);
}
