using System.Net;
using LoadBalancer.Net;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>Accepts connections for a socket.</summary>
internal sealed class ZmtpListener : IAsyncDisposable
{
    private readonly IDisposable _accepting;

    /// <summary>Takes over a bound socket, and listens on it.</summary>
    public ZmtpListener(ZmtpSocket socket, ListenSocket bound)
    {
        Address = (IPEndPoint)bound.Address;
        var count = new ConnectionLimit(socket.Name, null, socket.Time, socket.Logger); // The socket has a limit of its own.
        _accepting = Acceptor.Accept(
            bound, socket.Name, count, accepted => socket.Attach(accepted.Connection, Plain(accepted.Remote)), socket.Time, socket.Logger);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address { get; }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _accepting.Dispose();
        return ValueTask.CompletedTask;
    }

    // For logs: a socket for both families names IPv4 peers ::ffff:127.0.0.1.
    private static IPEndPoint Plain(EndPoint address) => new(address.IpAddress()!, ((IPEndPoint)address).Port);
}
