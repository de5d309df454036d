using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Net;

/// <summary>
/// The header that a proxy puts before a connection's bytes, to say between whom the connection really is: the PROXY protocol, versions
/// 1 (a line of text) and 2 (binary), specified in proxy-protocol.txt of haproxy.org. Pure functions over bytes.
/// </summary>
/// <param name="Source">The client; null if the connection is the proxy's own, or the client is not known.</param>
/// <param name="Destination">What the client connected to; null likewise.</param>
internal readonly record struct ProxyHeader(IPEndPoint? Source, IPEndPoint? Destination)
{
    /// <summary>
    /// The longest header that is accepted. The specification allows 64 KiB; what proxies add to the addresses is rarely more than a few
    /// hundred bytes.
    /// </summary>
    public const int MaxLength = 4096;

    /// <summary>The result of <see cref="Needed"/> for bytes that are no header.</summary>
    public const int Malformed = -1;

    private const int MaxLineLength = 107; // version 1, section 2.1
    private const int MinLineLength = 15; // PROXY UNKNOWN\r\n
    private const int FixedLength = 16; // of version 2: signature, version and command, family and protocol, length
    private const int Inet = 1;
    private const int Inet6 = 2;
    private const int Stream = 1;

    private static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    private static ReadOnlySpan<byte> LineBegin => "PROXY "u8;

    /// <summary>How many more bytes the header has at least; 0 if it is complete.</summary>
    /// <param name="begun">The bytes received so far.</param>
    /// <returns>The number; 0; or <see cref="Malformed"/>.</returns>
    public static int Needed(ReadOnlySpan<byte> begun)
    {
        if (Begins(begun, Signature))
        {
            var length = begun.Length < FixedLength ? FixedLength : FixedLength + BinaryPrimitives.ReadUInt16BigEndian(begun[14..]);
            return length > MaxLength ? Malformed
                : begun.Length < Signature.Length ? Signature.Length - begun.Length // Safe for both versions.
                : length - begun.Length;
        }
        if (!Begins(begun, LineBegin) || begun.Length > MaxLineLength)
        {
            return Malformed;
        }
        return begun.Length < Signature.Length ? Signature.Length - begun.Length
            : begun.Length < MinLineLength ? MinLineLength - begun.Length
            : begun[^1] == '\n' ? 0
            : begun.Length >= MaxLineLength ? Malformed
            : begun[^1] == '\r' ? 1 : 2;
    }

    /// <summary>Finds the header at the begin of bytes that may go on after it.</summary>
    /// <returns>Its length; 0 if more bytes are needed; or <see cref="Malformed"/>.</returns>
    public static int Find(ReadOnlySpan<byte> bytes)
    {
        var length = 0;
        while (Needed(bytes[..length]) is not 0 and var needed)
        {
            if (needed == Malformed)
            {
                return Malformed;
            }
            if (length + needed > bytes.Length)
            {
                return Needed(bytes) == Malformed ? Malformed : 0;
            }
            length += needed;
        }
        return length;
    }

    /// <summary>Parses a complete header.</summary>
    /// <returns>Whether it is one.</returns>
    public static bool TryParse(ReadOnlySpan<byte> header, out ProxyHeader parsed) =>
        header.StartsWith(Signature) ? TryParseBinary(header, out parsed) : TryParseLine(header, out parsed);

    /// <summary>Writes a header of version 2.</summary>
    /// <param name="source">The client; null where the connection is the proxy's own.</param>
    /// <param name="destination">What the client connected to; null likewise.</param>
    public static byte[] Write(IPEndPoint? source, IPEndPoint? destination)
    {
        const int Version = 0x20;
        const int Proxy = 1; // rather than 0: LOCAL
        if (source is null || destination is null)
        {
            return [.. Signature, Version, 0, 0, 0];
        }
        // IPv4 only if both ends are IPv4, also as ::ffff:a.b.c.d.
        var (from, to) = (source.Address, destination.Address);
        var isInet = from.IsIPv4() && to.IsIPv4();
        (from, to) = isInet ? (from.MapToIPv4(), to.MapToIPv4()) : (from.MapToIPv6(), to.MapToIPv6());
        Span<byte> ports = stackalloc byte[4];
        BinaryPrimitives.WriteUInt16BigEndian(ports, (ushort)source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(ports[2..], (ushort)destination.Port);
        byte[] addresses = [.. from.GetAddressBytes(), .. to.GetAddressBytes(), .. ports];
        return [.. Signature, Version | Proxy, (byte)((isInet ? Inet : Inet6) << 4 | Stream), 0, (byte)addresses.Length, .. addresses];
    }

    private static bool Begins(ReadOnlySpan<byte> begun, ReadOnlySpan<byte> with) =>
        begun[..Math.Min(begun.Length, with.Length)].SequenceEqual(with[..Math.Min(begun.Length, with.Length)]);

    // Section 2.2.
    private static bool TryParseBinary(ReadOnlySpan<byte> header, out ProxyHeader parsed)
    {
        parsed = default;
        var (version, command, family, protocol) = (header[12] >> 4, header[12] & 0xF, header[13] >> 4, header[13] & 0xF);
        if (version != 2 || command > 1 || family > 3 || protocol > 2)
        {
            return false;
        }
        if (command == 0 || protocol != Stream || family is not (Inet or Inet6))
        {
            return true; // The proxy's own connection, or an address family that is not used here.
        }
        var size = family == Inet ? 4 : 16;
        var rest = header[FixedLength..];
        if (rest.Length < 2 * (size + sizeof(ushort)))
        {
            return false;
        }
        parsed = new ProxyHeader(
            new IPEndPoint(new IPAddress(rest[..size]), BinaryPrimitives.ReadUInt16BigEndian(rest[(2 * size)..])),
            new IPEndPoint(new IPAddress(rest[size..(2 * size)]),
                BinaryPrimitives.ReadUInt16BigEndian(rest[(2 * size + sizeof(ushort))..])));
        return true;
    }

    // Section 2.1: single blanks, addresses in their usual form, ports without leading zeros.
    private static bool TryParseLine(ReadOnlySpan<byte> header, out ProxyHeader parsed)
    {
        parsed = default;
        if (header.IndexOf("\r\n"u8) != header.Length - 2)
        {
            return false;
        }
        var words = Encoding.Latin1.GetString(header[..^2]).Split(' ');
        if (words[1] == "UNKNOWN")
        {
            return true; // The rest is to be ignored.
        }
        if (words.Length != 6 || words[1] is not ("TCP4" or "TCP6")
            || !TryParse(words[2], words[4], words[1] == "TCP4", out var source)
            || !TryParse(words[3], words[5], words[1] == "TCP4", out var destination))
        {
            return false;
        }
        parsed = new ProxyHeader(source, destination);
        return true;
    }

    private static bool TryParse(string address, string port, bool isInet, out IPEndPoint? endPoint)
    {
        endPoint = null;
        var isValid = IPAddress.TryParse(address, out var ip)
            && (isInet
                // Not 1.2 or 010.0.0.1, which other parsers read differently.
                ? ip.AddressFamily == AddressFamily.InterNetwork && ip.ToString() == address
                : ip.AddressFamily == AddressFamily.InterNetworkV6 && !address.AsSpan().ContainsAny("[]%/"))
            && ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number.ToString(CultureInfo.InvariantCulture) == port;
        if (isValid)
        {
            endPoint = new IPEndPoint(ip!, ushort.Parse(port, CultureInfo.InvariantCulture));
        }
        return isValid;
    }
}
