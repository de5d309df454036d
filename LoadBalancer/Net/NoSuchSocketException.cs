using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>There is no file at the path of a Unix socket: nobody listens there. To the caller it is refused like any other.</summary>
internal sealed class NoSuchSocketException() : SocketException((int)SocketError.ConnectionRefused)
{
    /// <inheritdoc/>
    public override string Message => "no such socket";
}
