using System.Buffers;
using System.Globalization;
using LoadBalancer.Net;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>What kind of thing a datagram says.</summary>
internal enum HeartbeatKind
{
    /// <summary>Nothing that is understood.</summary>
    Malformed,

    /// <summary>That its sender is there.</summary>
    Alive,

    /// <summary>Which backend its sender is.</summary>
    Registration,
}

/// <summary>
/// What a datagram from a backend says, in UTF-8, with or without blanks, line ends and zeros around it:
/// <code>
///   OK                               it is there, and not busy
///   OK load=35                       it is there, and so busy, in percent
///   127.0.0.1:7000 127.0.0.1:7001    it is the backend of this address and this heartbeat address
/// </code>
/// Reading it makes no object, but for an IPv6 address.
/// </summary>
/// <param name="Kind">What kind of thing.</param>
/// <param name="Load">How busy, 0..100; null where it says something else of its load.</param>
/// <param name="Tcp">Where the backend serves.</param>
/// <param name="Udp">Where its heartbeats come from.</param>
internal readonly record struct HeartbeatMessage(HeartbeatKind Kind, int? Load = null, IpPort Tcp = default, IpPort Udp = default)
{
    /// <summary>How long a datagram may be, in bytes, blanks and signature included.</summary>
    public const int MostBytes = 512;

    private static readonly SearchValues<byte> AnyBlank = SearchValues.Create(Blanks);

    // The end of a string too, which C programs send.
    private static ReadOnlySpan<byte> Blanks => " \t\r\n\v\f\0"u8;

    /// <summary>A datagram without what stands around its text.</summary>
    public static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> datagram) => datagram.Trim(Blanks);

    /// <summary>Reads a text that is trimmed; never fails.</summary>
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
        return IpPort.TryParse(first, out var tcp) && IpPort.TryParse(rest, out var udp) ? new(HeartbeatKind.Registration, null, tcp, udp) : default;
    }

    // A fraction of a percent is a number too, and what many libraries measure.
    private static int? ReadLoad(ReadOnlySpan<byte> text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var load) && load is >= 0 and <= 100 ? (int)Math.Round(load) : null;
}
