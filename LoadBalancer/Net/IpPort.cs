using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>
/// An IP address and a port as a value: compared and looked up without an allocation, because every datagram comes from one.
/// </summary>
/// <param name="Ip">The address; an IPv4 one as <c>::ffff:a.b.c.d</c>, see <see cref="MappedAddress"/>.</param>
/// <param name="Port">The port.</param>
internal readonly record struct IpPort(UInt128 Ip, ushort Port)
{
    private const int MappedBits = 0xFFFF;
    private static readonly UInt128 Mapped = (UInt128)MappedBits << 32;

    /// <summary>Whether it is 0.0.0.0 or ::, which stand for any address.</summary>
    public bool IsAny => Ip == Mapped || Ip == UInt128.Zero;

    /// <summary>Whether it is of 127.0.0.0/8 or ::1.</summary>
    public bool IsLoopback => Ip == UInt128.One || Ip >> 24 == ((UInt128)MappedBits << 8 | 127);

    /// <summary>Reads <c>127.0.0.1:7000</c> or <c>[::1]:7000</c>, with a port above 0. No other way to write them is accepted.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out IpPort value)
    {
        value = default;
        var colon = text.LastIndexOf((byte)':');
        if (colon < 0 || !TryReadNumber(text[(colon + 1)..], 65535, out var port) || port == 0)
        {
            return false;
        }
        var host = text[..colon];
        if (host is [(byte)'[', .. var inner, (byte)']'])
        {
            if (!IPAddress.TryParse(inner, out var address) || address.AddressFamily != AddressFamily.InterNetworkV6)
            {
                return false;
            }
            value = new IpPort(Of(address), (ushort)port);
            return true;
        }
        var ip = (UInt128)MappedBits;
        for (var i = 0; i < 4; i++)
        {
            var end = i == 3 ? host.Length : host.IndexOf((byte)'.');
            if (end < 0 || !TryReadNumber(host[..end], 255, out var octet))
            {
                return false;
            }
            ip = ip << 8 | (uint)octet;
            host = i == 3 ? [] : host[(end + 1)..];
        }
        value = new IpPort(ip, (ushort)port);
        return true;
    }

    /// <summary>Where a datagram came from.</summary>
    public static IpPort From(SocketAddress address)
    {
        // sockaddr_in: port, address; sockaddr_in6: port, flow, address. The same on every system.
        var bytes = address.Buffer.Span;
        var port = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        return address.Family == AddressFamily.InterNetwork
            ? new IpPort(Mapped | BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]), port)
            : new IpPort(BinaryPrimitives.ReadUInt128BigEndian(bytes[8..]), port);
    }

    /// <summary>An address of the configuration; null where its host is a name.</summary>
    public static IpPort? Of(EndpointAddress address) =>
        IPAddress.TryParse(address.Host == "localhost" ? "127.0.0.1" : address.Host, out var ip)
            ? new IpPort(Of(ip), (ushort)address.Port)
            : null;

    /// <summary>An address as a number.</summary>
    public static UInt128 Of(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out var length);
        return length == 4 ? Mapped | BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    /// <summary><c>127.0.0.1:7000</c> or <c>[::1]:7000</c>.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Ip);
        return new IPEndPoint(new IPAddress(bytes).Unmap(), Port).ToString();
    }

    // Decimal digits only, and no zero in front: to some programs that means octal.
    private static bool TryReadNumber(ReadOnlySpan<byte> text, int largest, out int number)
    {
        number = -1;
        return text.Length is >= 1 and <= 5 && (text[0] != '0' || text.Length == 1)
               && !text.ContainsAnyExceptInRange((byte)'0', (byte)'9')
               && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= largest;
    }
}
