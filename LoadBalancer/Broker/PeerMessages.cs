using System.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// The messages between brokers: <c>HCHECK NOALT</c>, <c>HCHECK &lt;ip&gt;</c>, <c>ALTPING &lt;ip&gt;</c>. Written in one frame; two frames
/// are
/// accepted too, because a topic and its content are often sent that way.
/// </summary>
internal static class PeerMessages
{
    /// <summary>The topic of HCHECK.</summary>
    public const string HealthCheckTopic = "HCHECK";

    /// <summary>The topic of ALTPING.</summary>
    public const string AlternativePingTopic = "ALTPING";

    private const string NoAlternative = "NOALT";

    /// <summary>Makes an HCHECK: the main is alive, and this is its alternative, null for none.</summary>
    public static ZmtpMessage HealthCheck(IPAddress? alternative) =>
        ZmtpMessage.Of($"{HealthCheckTopic} {alternative?.ToString() ?? NoAlternative}");

    /// <summary>Makes an ALTPING: an alternative is at this address.</summary>
    public static ZmtpMessage AlternativePing(IPAddress address) => ZmtpMessage.Of($"{AlternativePingTopic} {address}");

    /// <summary>Whether a message is an HCHECK.</summary>
    public static bool IsHealthCheck(in ZmtpMessage message) => TryRead(message, HealthCheckTopic, out _);

    /// <summary>Parses an ALTPING.</summary>
    /// <returns>The alternative's address; null if it is no ALTPING, or the address is not one to which one can connect.</returns>
    public static IPAddress? AlternativeOf(in ZmtpMessage message)
    {
        // IPAddress would parse "1" as 0.0.0.1, and "0x7f.1" as 127.0.0.1: only the usual form is accepted.
        if (!TryRead(message, AlternativePingTopic, out var text) || !IPAddress.TryParse(text, out var ip)
            || (!text.Contains(':', StringComparison.Ordinal) && ip.ToString() != text))
        {
            return null;
        }
        var isIPv4Multicast = (ip.GetAddressBytes()[0] & 0xF0) == 0xE0 && !text.Contains(':', StringComparison.Ordinal);
        var isUsable = !ip.Equals(IPAddress.Any) && !ip.Equals(IPAddress.IPv6Any) && !ip.Equals(IPAddress.Broadcast);
        return isUsable && !ip.IsIPv6Multicast && !isIPv4Multicast ? ip : null;
    }

    private static bool TryRead(in ZmtpMessage message, string topic, out string content)
    {
        var text = message.Count switch
        {
            1 => message.Text(0),
            2 => $"{message.Text(0)} {message.Text(1)}",
            _ => "",
        };
        content = text.Length > topic.Length + 1 ? text[(topic.Length + 1)..].Trim() : "";
        return text.StartsWith(topic + " ", StringComparison.Ordinal);
    }
}
