using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration;

/// <summary>Adds an error unless the condition holds.</summary>
internal delegate void Requirement(bool condition, string path, string message);

/// <summary>Checks what the types of the options cannot: ranges, required values, and that the parts fit each other.</summary>
internal static partial class ConfigurationValidator
{
    private const string Root = ConfigurationLoader.SectionName;

    // The framework's timers end at 2^32 - 2 ms; anything near that is a typing error anyway.
    private static readonly TimeSpan LongestDuration = TimeSpan.FromDays(24);

    /// <summary>Adds an error for each rule that the options break.</summary>
    public static void Validate(LoadBalancerOptions options, List<ConfigurationError> errors)
    {
        // Text that could not be read has been reported and left a default behind: no second error for the same key.
        var reported = errors.Select(error => error.Path).ToHashSet(StringComparer.OrdinalIgnoreCase);
        void Require(bool condition, string path, string message)
        {
            if (!condition && reported.Add($"{Root}:{path}"))
            {
                errors.Add(new($"{Root}:{path}", message));
            }
        }
        void Duration(TimeSpan value, string path, bool zeroAllowed = false) => RequireDuration(Require, value, path, zeroAllowed);

        Duration(options.ShutdownTimeout, "ShutdownTimeout", zeroAllowed: true);
        Require(options.Listeners.Count > 0, "Listeners", "no listener is defined; expected at least one");
        var taken = new List<(EndpointAddress Address, string Listener)>();
        foreach (var (name, listener) in options.Listeners)
        {
            var path = $"Listeners:{name}";
            CheckListener(path, name, listener);
        }
        if (options.Management is { } management)
        {
            CheckAddress("Management", "management", management.Address, "http://127.0.0.1:8081");
            Require(management.Address is not { Scheme: "https" }, "Management:Address", "is https; expected http://host:port, and where others are to reach it, a proxy with TLS in front of it");
            Require(management.Token is null || management.Token.Length > 0 && !management.Token.AsSpan().ContainsAnyExceptInRange('!', '~'), "Management:Token",
                "cannot be sent in a header field; expected letters, digits and signs of ASCII, without blanks");
            Require(management.Token is not null || management.Address is null || management.IsLoopback, "Management:Token",
                $"is missing; {management.Address} can be reached from other machines, so that anybody could change the pools");
        }
        foreach (var (name, pool) in options.Pools)
        {
            PoolValidator.Check($"Pools:{name}", pool, Require);
        }

        void CheckAddress(string path, string name, EndpointAddress? wanted, string example)
        {
            Require(wanted is not null, $"{path}:Address", $"is missing; expected for example {example}");
            if (wanted is { } address)
            {
                Require(address.Scheme is "http" or "https", $"{path}:Address", $"'{address}' does not fit Protocol Http; expected http://host:port or https://host:port");
                Require(address.Host is "*" or "localhost" || IPAddress.TryParse(address.Host, out _), $"{path}:Address",
                    $"'{address.Host}' is not a local address; expected an IP address, localhost, or * for all");
                Require(address is not { Host: "localhost", Port: 0 }, $"{path}:Address", "localhost is two addresses, which cannot share a free port; expected for example http://127.0.0.1:0");
                var rival = taken.FirstOrDefault(other => Overlap(other.Address, address)).Listener;
                Require(rival is null, $"{path}:Address", $"{address} is already taken by listener '{rival}'");
                taken.Add((address, name));
            }
        }

        void CheckListener(string path, string name, ListenerOptions listener)
        {
            CheckAddress(path, name, listener.Address, "http://127.0.0.1:8080");
            CheckTls(path, listener);
            CheckPoolName(path, listener.Pool);
            foreach (var (i, route) in listener.Routes.Index())
            {
                CheckPoolName($"{path}:Routes:{i}", route.Pool);
                Require(route.Path is null || route.Path.StartsWith('/'), $"{path}:Routes:{i}:Path", $"'{route.Path}' is not a path; expected for example /api");
                Require(route.Host is null || Uri.CheckHostName(route.Host.StartsWith("*.", StringComparison.Ordinal) ? route.Host[2..] : route.Host.Trim('[', ']')) != UriHostNameType.Unknown,
                    $"{path}:Routes:{i}:Host", $"'{route.Host}' is not a host name; expected for example shop.example.com or *.example.com");
            }
            Require(listener.MaxRequestBodySize is null or >= 0, $"{path}:MaxRequestBodySize", $"'{listener.MaxRequestBodySize}' is out of range; expected 0 or more, or null for no limit");
            Require(listener.MaxConnections is null or >= 1, $"{path}:MaxConnections", $"'{listener.MaxConnections}' is out of range; expected 1 or more, or null for no limit");
            Duration(listener.RequestHeadersTimeout, $"{path}:RequestHeadersTimeout");
            Duration(listener.KeepAliveTimeout, $"{path}:KeepAliveTimeout");
            Require(listener.AccessLog.Length > 0, $"{path}:AccessLog", "is empty; expected Off, Console or a file");
        }

        void CheckTls(string path, ListenerOptions listener)
        {
            var isTls = listener.Address?.Scheme == "https";
            Require(!isTls || listener.Certificates.Count > 0, $"{path}:Certificates", "is missing; an https listener needs at least one { \"File\": …, \"KeyFile\": … }");
            Require(isTls || listener.Certificates.Count == 0 || listener.Address is null, $"{path}:Certificates", $"is of no use for '{listener.Address}'; expected an Address with https://");
            foreach (var (i, certificate) in listener.Certificates.Index())
            {
                Require(certificate.File is not null, $"{path}:Certificates:{i}:File", "is missing; expected a PEM file");
                var fault = certificate.File is null ? null : PemCertificate.Fault(certificate);
                Require(fault is null, $"{path}:Certificates:{i}:File", $"'{certificate.File}' cannot be used: {fault}");
            }
            Require(!isTls || !listener.RedirectToHttps, $"{path}:RedirectToHttps", "is for plain listeners; this one is https already");
            Require(!isTls || listener.HttpVersion == HttpVersion.Version11, $"{path}:HttpVersion", "is for plain listeners; an https listener negotiates it");
            Require(listener.Hsts is null || isTls, $"{path}:Hsts", "is for https listeners; browsers ignore it from others (RFC 6797 section 8.1)");
            Require(listener.Hsts is null || Hsts().IsMatch(listener.Hsts), $"{path}:Hsts", $"'{listener.Hsts}' is not valid; expected for example max-age=31536000; includeSubDomains");
        }

        void CheckPoolName(string path, string? pool)
        {
            Require(pool is not null, $"{path}:Pool", $"is missing; expected one of {Names(options.Pools.Keys)}");
            Require(pool is null || options.Pools.ContainsKey(pool), $"{path}:Pool", $"pool '{pool}' is not defined; expected one of {Names(options.Pools.Keys)}");
        }
    }

    /// <summary>Requires a duration that makes sense.</summary>
    internal static void RequireDuration(Requirement require, TimeSpan value, string path, bool zeroAllowed = false) =>
        require((value > TimeSpan.Zero || zeroAllowed && value == TimeSpan.Zero) && value <= LongestDuration, path,
            $"'{value}' is out of range; expected {(zeroAllowed ? "00:00:00" : "more than 00:00:00")} to {LongestDuration}");

    [GeneratedRegex("^max-age=[0-9]+( *; *[A-Za-z]+)*\\z")]
    private static partial Regex Hsts();

    private static string Names(IEnumerable<string> names) => string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(no pool is defined)"));

    // Port 0 is a different free port each time. localhost is 127.0.0.1 and [::1].
    private static bool Overlap(EndpointAddress a, EndpointAddress b) =>
        a.Port == b.Port && a.Port != 0 && (a.Host == b.Host || IsAny(a) || IsAny(b) || IsLoopback(a) && b.Host == "localhost" || IsLoopback(b) && a.Host == "localhost");

    private static bool IsAny(EndpointAddress address) => address.Host is "*" or "0.0.0.0" or "::";

    private static bool IsLoopback(EndpointAddress address) => address.Host is "127.0.0.1" or "::1";
}
