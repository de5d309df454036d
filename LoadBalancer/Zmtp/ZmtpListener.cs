using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>Accepts connections for a socket.</summary>
internal sealed class ZmtpListener : IAsyncDisposable
{
    private readonly IDisposable _accepting;

    /// <summary>Listens there.</summary>
    /// <exception cref="SocketException">The port is taken, or the address is not ours.</exception>
    public ZmtpListener(ZmtpSocket socket, IPEndPoint address)
    {
        var bound = ListenAddress.Bind(address);
        Address = (IPEndPoint)bound.LocalEndPoint!;
        _accepting = Acceptor.Accept(
            bound, socket.Name, null, accepted => socket.Attach(accepted.Connection, Plain(accepted.Remote)), socket.Time, socket.Logger);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address { get; }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _accepting.Dispose();
        return ValueTask.CompletedTask;
    }

    // A socket for both families says ::ffff:127.0.0.1, which nobody wants to read in a log.
    private static IPEndPoint Plain(IPEndPoint address) =>
        address.Address.IsIPv4MappedToIPv6 ? new IPEndPoint(address.Address.MapToIPv4(), address.Port) : address;
}
