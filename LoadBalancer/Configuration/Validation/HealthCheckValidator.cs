using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the options of a pool's probes.</summary>
internal static class HealthCheckValidator
{
    // The head of a probe has its own.
    private static readonly string[] OwnFields =
    [
        "Host", "Connection", "Keep-Alive", "Proxy-Connection", "Content-Length", "Transfer-Encoding", "Trailer", "TE", "Upgrade", "Expect",
    ];

    /// <summary>Requires all that must hold for them.</summary>
    /// <param name="check">The options.</param>
    /// <param name="isHttp">Whether the pool's backends speak HTTP.</param>
    /// <param name="atUnixSocket">The name of a backend at a Unix socket; null where there is none.</param>
    /// <param name="section">Their section.</param>
    public static void Check(HealthCheckOptions check, bool isHttp, string? atUnixSocket, SectionValidator section)
    {
        section.Require(atUnixSocket is null || check.Port is null && check.Type != ProbeType.Agent, "Port",
            $"is for backends that have a port; '{atUnixSocket}' is at a Unix socket");
        CheckType(check, check.Type ?? (isHttp ? ProbeType.Http : ProbeType.Tcp), section);
        section.Require(check.Path.StartsWith('/') && !check.Path.Any(c => c is <= ' ' or > '~' or '#'), "Path",
            $"'{check.Path}' is not a path; expected for example /health");
        section.Require(RequestRules.IsFieldName(check.Method) && check.Method != "CONNECT", "Method",
            $"'{check.Method}' is not a method for a probe; expected for example GET, HEAD or OPTIONS");
        section.Require(check.Host is null || IsHost(check.Host), "Host",
            $"'{check.Host}' is not a host; expected for example shop.example.com or shop.example.com:8443");
        section.Require(check.Port is null or (>= 1 and <= 65535), "Port", $"'{check.Port}' is out of range; expected 1 to 65535");
        section.Require(StatusRanges.TryParse(check.Status, out _), "Status",
            $"'{check.Status}' is not a list of statuses from 200 to 599; expected for example 200-299 or 200,204,301-308");
        section.Require(check.Body is not "", "Body", "is empty, which is in every body; expected a text, or null");
        section.Require(check.Body is null || check.Method != "HEAD", "Body",
            "is never there in a response to HEAD; expected another Method");
        CheckHeaders(check.Headers, section);
        section.RequireDuration(check.Interval, "Interval");
        section.RequireDuration(check.DownInterval, "DownInterval");
        section.RequireDuration(check.Timeout, "Timeout");
        section.RequireAtLeast(1, check.Rise, "Rise");
        section.RequireAtLeast(1, check.Fall, "Fall");
    }

    // A setting that is for another type of probe would do nothing, without a word. Path has always been allowed beside Tcp.
    private static void CheckType(HealthCheckOptions check, ProbeType type, SectionValidator section)
    {
        var defaults = new HealthCheckOptions();
        void Only(bool holds, string key, string types, bool isUsed) =>
            section.Require(holds || !isUsed, key, $"is for probes of type {types}; these are of type {type}");

        var (isHttp, isOverHttp) = (type == ProbeType.Http, type is ProbeType.Http or ProbeType.Grpc);
        Only(isHttp || type == ProbeType.Tcp, "Path", "Http", check.Path != defaults.Path);
        Only(isHttp, "Method", "Http", check.Method != defaults.Method);
        Only(isHttp, "Status", "Http", check.Status != defaults.Status);
        Only(isHttp, "Body", "Http", check.Body is not null);
        Only(isOverHttp, "Host", "Http and Grpc", check.Host is not null);
        Only(isOverHttp, "Headers", "Http and Grpc", check.Headers.Count > 0);
        Only(type == ProbeType.Grpc, "Service", "Grpc", check.Service.Length > 0);
        Only(type == ProbeType.Agent, "Send", "Agent", check.Send is not null);
        section.Require(type != ProbeType.Agent || check.Port is not null, "Port", "is missing; expected the port of the agents");
    }

    // A value may be a secret: not shown.
    private static void CheckHeaders(IReadOnlyDictionary<string, string> headers, SectionValidator section)
    {
        foreach (var (name, value) in headers)
        {
            section.Require(RequestRules.IsFieldName(name), $"Headers:{name}", "is not the name of a header field");
            section.Require(!name.Equals("Host", StringComparison.OrdinalIgnoreCase), $"Headers:{name}",
                "has a setting of its own; expected Host");
            section.Require(!OwnFields.Contains(name, StringComparer.OrdinalIgnoreCase), $"Headers:{name}",
                "is set by the probe itself; expected another field");
            section.Require(value is not null && RequestRules.IsFieldValue(value) && value.All(c => c <= '\xff'), $"Headers:{name}",
                "has a value that no header field can have; expected a text without control characters, in ISO 8859-1");
        }
    }

    private static bool IsHost(string host) =>
        host.Length > 0 && host.All(char.IsAscii) && !host.Contains('/', StringComparison.Ordinal)
        && Uri.TryCreate($"http://{host}/", UriKind.Absolute, out var uri) && uri is { PathAndQuery: "/", UserInfo: "", Fragment: "" };
}
