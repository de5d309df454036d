using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>A Unix socket cannot be listened on; the message is for the operator.</summary>
internal sealed class UnixSocketException(SocketError error, string message) : SocketException((int)error)
{
    /// <inheritdoc/>
    public override string Message => message;
}
