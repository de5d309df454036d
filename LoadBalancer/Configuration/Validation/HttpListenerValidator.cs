using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only an Http listener has.</summary>
internal static partial class HttpListenerValidator
{
    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(
        string user, HttpListenerOptions listener, LoadBalancerOptions all, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(section, "Address", user, listener.Address, "http://127.0.0.1:8080", "http", "https");
        CheckTls(listener, section);
        CheckRoutes(listener.Routes, all, section);
        section.RequireAtLeast(0, listener.MaxRequestBodySize, "MaxRequestBodySize", orElse: "null for no limit");
        section.RequireDuration(listener.RequestHeadersTimeout, "RequestHeadersTimeout");
        section.RequireDuration(listener.KeepAliveTimeout, "KeepAliveTimeout");
        section.Require(listener.AccessLog.Length > 0, "AccessLog", "is empty; expected Off, Console or a file");
    }

    private static void CheckTls(HttpListenerOptions listener, SectionValidator section)
    {
        var isTls = listener.Address?.Scheme == "https";
        TlsValidator.Check(listener.Address, listener, section);
        section.Require(!isTls || !listener.RedirectToHttps, "RedirectToHttps", "is for plain listeners; this one is https already");
        section.Require(!isTls || listener.HttpVersion == HttpVersion.Version11, "HttpVersion",
            "is for plain listeners; an https listener negotiates it");
        section.Require(listener.Hsts is null || isTls, "Hsts",
            "is for https listeners; browsers ignore it from others (RFC 6797 section 8.1)");
        section.Require(listener.Hsts is null || Hsts().IsMatch(listener.Hsts), "Hsts",
            $"'{listener.Hsts}' is not valid; expected for example max-age=31536000; includeSubDomains");
    }

    private static void CheckRoutes(IReadOnlyList<HttpRouteOptions> routes, LoadBalancerOptions all, SectionValidator section)
    {
        foreach (var (i, route) in routes.Index())
        {
            ListenerValidator.CheckPoolName(route.Pool, $"Routes:{i}:Pool", all, section);
            section.Require(route.Path is null || route.Path.StartsWith('/'), $"Routes:{i}:Path",
                $"'{route.Path}' is not a path; expected for example /api");
            section.Require(route.Host is null || IsHost(route.Host), $"Routes:{i}:Host",
                $"'{route.Host}' is not a host name; expected for example shop.example.com or *.example.com");
        }
    }

    private static bool IsHost(string host) =>
        Uri.CheckHostName(host.StartsWith("*.", StringComparison.Ordinal) ? host[2..] : host.Trim('[', ']')) != UriHostNameType.Unknown;

    [GeneratedRegex("^max-age=[0-9]+( *; *[A-Za-z]+)*\\z")]
    private static partial Regex Hsts();
}
