using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>Heartbeats by UDP: which backends are alive, and how backends register themselves.</summary>
public sealed record HeartbeatOptions
{
    /// <summary>Where the datagrams arrive: <c>udp://127.0.0.1:5000</c>. Required.</summary>
    public EndpointAddress Address { get; init; } = null!;

    /// <summary>How long a backend may be silent before it is down. Default 2 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// The secret that every datagram is signed with: base64 of 32 bytes or more. Default null: datagrams are not signed.
    /// </summary>
    [Secret]
    public string? Key { get; init; }

    /// <summary>As many bytes as the hash has: a shorter key is weaker (RFC 2104 section 3).</summary>
    internal const int LeastKeyLength = 32;

    /// <summary>The bytes of a key; null where the text is not base64.</summary>
    internal static byte[]? KeyOf(string key)
    {
        var bytes = new byte[key.Length];
        return Convert.TryFromBase64String(key, bytes, out var length) ? bytes[..length] : null;
    }

    /// <summary>Without the key, for logs.</summary>
    public override string ToString() => $"{Address}, {Timeout}";
}
