using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;

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
        CheckAccessLog(listener.AccessLog, section);
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
            CheckRoutePath(route.Path, $"Routes:{i}:Path", section);
            section.Require(route.Host is null || IsHost(route.Host), $"Routes:{i}:Host",
                $"'{route.Host}' is not a host name; expected for example shop.example.com or *.example.com");
            var first = routes.Take(i).ToList().FindIndex(earlier => earlier.Covers(route));
            if (first >= 0)
            {
                section.Warn($"Routes:{i}",
                    $"never matches: Routes:{first}, which comes first, takes all of its requests; expected it before that");
            }
        }
    }

    private static void CheckRoutePath(string? path, string key, SectionValidator section)
    {
        section.Require(path is null || path.StartsWith('/'), key, $"'{path}' is not a path; expected for example /api");
        var star = path?.IndexOf('*', StringComparison.Ordinal) ?? -1;
        section.Require(star < 0, key, $"'{path}' has a *, which stands for nothing here; expected for example "
            + $"{(star > 1 ? path![..star].TrimEnd('/') : "/api")}, which takes everything below it too");
        section.Require(path is null || !path.AsSpan().ContainsAny("?# "), key,
            $"'{path}' can never match, for a path has no '?', '#' or blank; expected for example /api");
    }

    // false, none or stdout are meant to be words; a file of that name would appear somewhere, and nobody would look for it.
    private static void CheckAccessLog(string setting, SectionValidator section)
    {
        if (setting.Equals("Off", StringComparison.OrdinalIgnoreCase) || setting.Equals("Console", StringComparison.OrdinalIgnoreCase))
        {
            return;
        }
        var isFile = setting.AsSpan().ContainsAny('/', '\\', '.');
        section.Require(isFile, "AccessLog",
            $"'{setting}' is not valid; expected Off, Console or a file, whose name has a dot or a slash, for example logs/access.log");
        var error = isFile ? AppendingFile.FindError(setting) : null;
        section.Require(error is null, "AccessLog", $"'{setting}' cannot be written: {error}");
    }

    private static bool IsHost(string host) =>
        Uri.CheckHostName(host.StartsWith("*.", StringComparison.Ordinal) ? host[2..] : host.Trim('[', ']')) != UriHostNameType.Unknown;

    [GeneratedRegex("^max-age=[0-9]+( *; *[A-Za-z]+)*\\z")]
    private static partial Regex Hsts();
}
