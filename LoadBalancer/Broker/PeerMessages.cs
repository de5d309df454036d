using System.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// What brokers say of each other: <c>HCHECK NOALT</c>, <c>HCHECK &lt;ip&gt;</c>, <c>ALTPING &lt;ip&gt;</c>. Written in one frame; read in two
/// as well, for a topic and its content are often sent that way.
/// </summary>
internal static class PeerMessages
{
    /// <summary>What HCHECK begins with.</summary>
    public const string HealthCheckTopic = "HCHECK";

    /// <summary>What ALTPING begins with.</summary>
    public const string AlternativePingTopic = "ALTPING";

    private const string NoAlternative = "NOALT";

    /// <summary>That the main is there, and who is its alternative.</summary>
    public static ZmtpMessage HealthCheck(IPAddress? alternative) => ZmtpMessage.Of($"{HealthCheckTopic} {alternative?.ToString() ?? NoAlternative}");

    /// <summary>That an alternative is there.</summary>
    public static ZmtpMessage AlternativePing(IPAddress address) => ZmtpMessage.Of($"{AlternativePingTopic} {address}");

    /// <summary>Whether it is an HCHECK.</summary>
    public static bool IsHealthCheck(in ZmtpMessage message) => TryRead(message, HealthCheckTopic, out _);

    /// <summary>Reads an ALTPING.</summary>
    /// <returns>The alternative's address; null where it is no ALTPING, or names nobody who could be connected to.</returns>
    public static IPAddress? AlternativeOf(in ZmtpMessage message)
    {
        // "1" would be read as 0.0.0.1, and "0x7f.1" as 127.0.0.1: that is not how anybody writes an address.
        if (!TryRead(message, AlternativePingTopic, out var text) || !IPAddress.TryParse(text, out var ip) || (!text.Contains(':', StringComparison.Ordinal) && ip.ToString() != text))
        {
            return null;
        }
        return ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any) || ip.Equals(IPAddress.Broadcast) || ip.IsIPv6Multicast || (ip.GetAddressBytes()[0] & 0xF0) == 0xE0 && !text.Contains(':', StringComparison.Ordinal) ? null : ip;
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
