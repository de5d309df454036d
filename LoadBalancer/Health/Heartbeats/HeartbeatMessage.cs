using System.Buffers;
using System.Globalization;
using LoadBalancer.Net;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>What kind of message a datagram is.</summary>
internal enum HeartbeatKind
{
    /// <summary>Not a message of this protocol.</summary>
    Malformed,

    /// <summary>A sign of life of its sender.</summary>
    Alive,

    /// <summary>Says which backend its sender is.</summary>
    Registration,
}

/// <summary>
/// The text of a datagram from a backend, UTF-8, with or without blanks, line ends and zero bytes around it:
/// <code>
///   OK                               it is alive, with load 0
///   OK load=35                       it is alive, with this load in percent
///   127.0.0.1:7000 127.0.0.1:7001    it is the backend of this address and this heartbeat address
/// </code>
/// Parsing allocates nothing, except for an IPv6 address.
/// </summary>
/// <param name="Kind">What kind of message.</param>
/// <param name="Load">The load in percent, 0..100; null if it is missing or not such a number.</param>
/// <param name="Tcp">The address at which the backend serves.</param>
/// <param name="Udp">The address from which its heartbeats come.</param>
internal readonly record struct HeartbeatMessage(HeartbeatKind Kind, int? Load = null, IpPort Tcp = default, IpPort Udp = default)
{
    /// <summary>The longest datagram, in bytes, including blanks and signature.</summary>
    public const int MaxBytes = 512;

    private static readonly SearchValues<byte> AnyBlank = SearchValues.Create(Blanks);

    // The zero that ends a string too: C programs send it.
    private static ReadOnlySpan<byte> Blanks => " \t\r\n\v\f\0"u8;

    /// <summary>Removes blanks, line ends and zero bytes around the text.</summary>
    public static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> datagram) => datagram.Trim(Blanks);

    /// <summary>Parses a trimmed text; never fails.</summary>
    public static HeartbeatMessage Parse(ReadOnlySpan<byte> text)
    {
        var end = text.IndexOfAny(AnyBlank);
        var first = end < 0 ? text : text[..end];
        var rest = Trim(text[first.Length..]);
        if (first.SequenceEqual("OK"u8))
        {
            return rest.IsEmpty ? new(HeartbeatKind.Alive, 0)
                : rest.StartsWith("load="u8) ? new(HeartbeatKind.Alive, ReadLoad(rest["load="u8.Length..]))
                : default;
        }
        return IpPort.TryParse(first, out var tcp) && IpPort.TryParse(rest, out var udp)
            ? new(HeartbeatKind.Registration, null, tcp, udp)
            : default;
    }

    // Fractions of a percent are accepted: many libraries measure them.
    private static int? ReadLoad(ReadOnlySpan<byte> text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var load) && load is >= 0 and <= 100
            ? (int)Math.Round(load)
            : null;
}
