using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>
/// What the host of an address means to a listener, and why an address cannot be listened on: the same for all listeners.
/// </summary>
internal static class ListenAddress
{
    /// <summary>The addresses to bind for the host of a listener's address.</summary>
    /// <param name="host">
    /// An IP address; <c>localhost</c> for both loopback addresses, where the machine has IPv6; or <c>*</c> for all addresses that the
    /// machine has.
    /// </param>
    public static IPAddress[] Resolve(string host) => host switch
    {
        "*" => [Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any],
        "localhost" => Socket.OSSupportsIPv6 ? [IPAddress.Loopback, IPAddress.IPv6Loopback] : [IPAddress.Loopback],
        _ => [IPAddress.Parse(host)],
    };

    /// <summary>The same, with the port; or the one Unix socket.</summary>
    public static IReadOnlyList<EndPoint> EndPoints(EndpointAddress address) =>
        address.IsUnix ? [address.UnixEndPoint] : [.. Resolve(address.Host).Select(ip => new IPEndPoint(ip, address.Port))];

    /// <summary>Makes a socket of TCP or UDP that is bound to an address; bound to <c>::</c> it takes IPv4 too.</summary>
    /// <param name="type">Stream for TCP, Dgram for UDP.</param>
    /// <param name="address">The address.</param>
    /// <param name="prepare">What is done with the socket before; null for nothing.</param>
    /// <exception cref="SocketException">The address cannot be had; <see cref="WhyNot"/> says why in words.</exception>
    public static Socket Bind(SocketType type, IPEndPoint address, Action<Socket>? prepare = null)
    {
        var socket = new Socket(address.AddressFamily, type, type == SocketType.Stream ? ProtocolType.Tcp : ProtocolType.Udp);
        try
        {
            if (OperatingSystem.IsWindows() && type == SocketType.Dgram)
            {
                socket.ExclusiveAddressUse = true;
            }
            if (address.Address.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }
            prepare?.Invoke(socket);
            socket.Bind(address);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Why an address could not be bound or listened on, in words for the operator.</summary>
    public static string WhyNot(Exception exception) => exception.GetBaseException() switch
    {
        UnixSocketException unix => unix.Message,
        SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse } => "the port is taken by another program",
        SocketException { SocketErrorCode: SocketError.AddressNotAvailable } => "this machine does not have the address",
        SocketException { SocketErrorCode: SocketError.AccessDenied } =>
            "permission denied; on Linux ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        var other => other.Message,
    };
}
