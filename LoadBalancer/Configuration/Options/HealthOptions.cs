using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>How a probe asks.</summary>
public enum ProbeType
{
    /// <summary>GET; 2xx is success.</summary>
    Http,

    /// <summary>A connection is opened and closed.</summary>
    Tcp,
}

/// <summary>Polling health checks.</summary>
public sealed record HealthCheckOptions
{
    /// <summary>How a probe asks. Default null: Http, or Tcp where the backends speak no HTTP.</summary>
    public ProbeType? Type { get; init; }

    /// <summary>What an Http probe asks for, with a query if need be. Default <c>/</c>.</summary>
    public string Path { get; init; } = "/";

    /// <summary>How often a healthy backend is probed. Default 30 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an unhealthy backend is probed. Default 2 s.</summary>
    public TimeSpan DownInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long one probe may take until the head of the answer is there. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Consecutive successes that bring a backend up. Default 1.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failures that take a backend down. Default 1.</summary>
    public int Fall { get; init; } = 1;
}

/// <summary>Signs of life by UDP, and how backends make themselves known.</summary>
public sealed record HeartbeatOptions
{
    /// <summary>Where they arrive: <c>udp://127.0.0.1:5000</c>. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>How long a backend may be silent before it is down. Default 2 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The secret that every datagram is signed with: base64 of 32 bytes or more. Default null: datagrams are not signed.</summary>
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

/// <summary>Passive health: what failed requests say about a backend. They take out half of a pool at the most; refused connects may take out all.</summary>
public sealed record PassiveHealthOptions
{
    /// <summary>Consecutive failed requests that eject a backend. Default 3.</summary>
    public int Failures { get; init; } = 3;

    /// <summary>The share of failed requests within the window that ejects a backend, of 20 requests or more; above 0 to 1. Default 0.5.</summary>
    public double FailureShare { get; init; } = 0.5;

    /// <summary>The time within which they must happen. Default 10 s.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long an ejected backend stays out, the first time; twice as long each time that it has to be ejected again soon after it
    /// came back. Default 10 s.
    /// </summary>
    public TimeSpan Ejection { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it stays out at the most. Default 5 min.</summary>
    public TimeSpan LongestEjection { get; init; } = TimeSpan.FromMinutes(5);
}
