using System.Net;

namespace LoadBalancer.Net;

/// <summary>
/// Clients that come through a Unix socket: they have no IP address, which is null wherever there would be one. In lists of networks and
/// in texts they are called <c>unix:</c>, as in nginx.
/// </summary>
internal static class UnixPeers
{
    /// <summary>What they are called.</summary>
    public const string Name = "unix:";

    /// <summary>The entry of a list of networks that stands for them: ::, an address that no peer has.</summary>
    public static readonly IPNetwork Network = new(IPAddress.IPv6Any, 128);

    /// <summary>Whether a list has a peer's address in it, or stands for Unix sockets where the peer has none.</summary>
    public static bool Contain(this IReadOnlyList<IPNetwork> networks, IPAddress? peer)
    {
        peer = peer?.Unmap();
        for (var i = 0; i < networks.Count; i++)
        {
            if (peer is null ? networks[i] == Network : networks[i].Contains(peer))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>The IP address of a peer; null where it comes through a Unix socket.</summary>
    public static IPAddress? IpAddress(this EndPoint? peer) => (peer as IPEndPoint)?.Address.Unmap();

    /// <summary>A peer's address for people.</summary>
    public static string Text(IPAddress? peer) => peer?.ToString() ?? Name;
}
