using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Guards;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the routes of an Http listener.</summary>
internal static class RouteValidator
{
    // Fields that frame the message or belong to the connection; the host has a setting of its own.
    private static readonly string[] NotChangeable =
        ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer"];

    /// <summary>Whether the configuration may set a field of this name.</summary>
    public static bool CanChange(string name) => !NotChangeable.Contains(name, StringComparer.OrdinalIgnoreCase);

    /// <summary>Requires all that must hold for them.</summary>
    public static void Check(HttpListenerOptions listener, LoadBalancerOptions all, SectionValidator section)
    {
        var routes = listener.Routes;
        foreach (var (i, route) in routes.Index())
        {
            var below = section.Below($"Routes:{i}");
            CheckMatch(route, below);
            var first = routes.Take(i).ToList().FindIndex(earlier => earlier.Covers(route));
            if (first >= 0)
            {
                section.Warn($"Routes:{i}",
                    $"never matches: Routes:{first}, which comes first, takes all of its requests; expected it before that");
            }
            CheckAction(route, all, below);
            CheckChanges(route, below);
            CheckRateLimit(route.RateLimit, isNoneAllowed: true, all, below);
            CheckAuthentication(
                route.Authentication ?? listener.Authentication, route.RateLimit ?? listener.RateLimit, isNoneAllowed: true,
                listener.ClientCertificates is not null, all, below);
            CompressionValidator.Check(route.Compression, isNoneAllowed: true, below);
            below.RequireAtLeast(0, route.MaxRequestBodySize, "MaxRequestBodySize", orElse: "null for the listener's");
            below.RequireDuration(route.Timeouts.Response ?? TimeSpan.FromSeconds(1), "Timeouts:Response");
            below.RequireDuration(route.Timeouts.Total ?? TimeSpan.FromSeconds(1), "Timeouts:Total");
            below.RequireAtLeast(1, route.Retry.Attempts, "Retry:Attempts", orElse: "null for the pool's");
        }
    }

    /// <summary>Requires the name of a rate limit that is defined.</summary>
    public static void CheckRateLimit(string? name, bool isNoneAllowed, LoadBalancerOptions all, SectionValidator section)
    {
        var names = string.Join(", ", all.RateLimits.Keys.Select(known => $"'{known}'").DefaultIfEmpty("(none is defined in RateLimits)"));
        section.Require(name is null || isNoneAllowed && RouteGuards.IsNone(name) || all.RateLimits.ContainsKey(name), "RateLimit",
            $"'{name}' is not defined; expected one of {names}{(isNoneAllowed ? ", or None" : "")}");
    }

    /// <summary>Requires the name of a way to authenticate that is defined, and one where a rate limit needs it.</summary>
    public static void CheckAuthentication(
        string? name, string? rateLimit, bool isNoneAllowed, bool hasCertificates, LoadBalancerOptions all, SectionValidator section)
    {
        var names = string.Join(", ", all.Authentication.Keys.Select(known =>
            $"'{known}'").DefaultIfEmpty("(none is defined in Authentication)"));
        var isNone = name is null || isNoneAllowed && RouteGuards.IsNone(name);
        section.Require(isNone || all.Authentication.ContainsKey(name!), "Authentication",
            $"'{name}' is not defined; expected one of {names}{(isNoneAllowed ? ", or None" : "")}");
        var isByUser = rateLimit is not null && all.RateLimits.GetValueOrDefault(rateLimit)?.Key == RateKey.User;
        section.Require(!isNone || !isByUser || hasCertificates, "RateLimit",
            $"'{rateLimit}' counts by User, and nobody is authenticated here");
    }

    private static void CheckMatch(HttpRouteOptions route, SectionValidator section)
    {
        CheckPath(route.Path, section);
        section.Require(!route.Exact || route.Path is not null, "Exact", "needs a Path");
        section.Require(route.PathPattern is null || route.Path is null, "PathPattern", "is used instead of Path; expected one of the two");
        if (route.PathPattern is not null && PathPattern.FindError(route.PathPattern) is { } error)
        {
            section.Require(false, "PathPattern", error);
        }
        foreach (var (i, host) in route.Host.Index())
        {
            section.Require(IsHost(host), route.Host.Count == 1 ? "Host" : $"Host:{i}",
                $"'{host}' is not a host name; expected for example shop.example.com or *.example.com");
        }
        foreach (var (i, method) in route.Methods.Index())
        {
            section.Require(RequestRules.IsFieldName(method), $"Methods:{i}", $"'{method}' is not a method; expected for example GET");
        }
        foreach (var name in route.Headers.Keys)
        {
            section.Require(RequestRules.IsFieldName(name), $"Headers:{name}", "is not the name of a header field");
        }
    }

    private static void CheckPath(string? path, SectionValidator section)
    {
        section.Require(path is null || path.StartsWith('/'), "Path", $"'{path}' is not a path; expected for example /api");
        var star = path?.IndexOf('*', StringComparison.Ordinal) ?? -1;
        section.Require(star < 0, "Path", $"'{path}' has a *, which stands for nothing here; expected for example "
            + $"{(star > 1 ? path![..star].TrimEnd('/') : "/api")}, which takes everything below it too");
        section.Require(path is null || !path.AsSpan().ContainsAny("?# "), "Path",
            $"'{path}' can never match, for a path has no '?', '#' or blank; expected for example /api");
        var plain = path?.StartsWith('/') == true ? RawPath.Decode(path) : path;
        section.Require(plain == path, "Path", $"'{path}' can never match, for it is compared with decoded paths; expected '{plain}'");
    }

    private static void CheckAction(HttpRouteOptions route, LoadBalancerOptions all, SectionValidator section)
    {
        var actions = new[] { route.Pool is not null, route.Split.Count > 0, route.Redirect is not null, route.Respond is not null };
        section.Require(actions.Count(isThere => isThere) == 1, actions.Any(isThere => isThere) ? null : "Pool",
            actions.Any(isThere => isThere)
                ? "has more than one of Pool, Split, Redirect and Respond; expected one"
                : "is missing; expected Pool, Split, Redirect or Respond");
        if (route.Pool is { } only)
        {
            ListenerValidator.CheckPoolName(only, "Pool", all, section);
        }
        foreach (var (pool, share) in route.Split)
        {
            ListenerValidator.CheckPoolName(pool, $"Split:{pool}", all, section);
            section.RequireAtLeast(0, share, $"Split:{pool}");
        }
        section.Require(route.Split.Count == 0 || route.Split.Values.Any(share => share > 0), "Split",
            "has only shares of 0, so nobody would be served");
        section.Require(route.Split.Values.Sum(share => (long)share) <= int.MaxValue, "Split", "has shares that are too large together");
        if (route.Redirect is { } redirect)
        {
            CheckTemplate(redirect.To, "Redirect:To", "is missing; expected for example https://{host}{path}{query}", section);
            CheckTarget(redirect.To, "Redirect:To", section);
            section.Require(redirect.Status is 301 or 302 or 303 or 307 or 308, "Redirect:Status",
                $"'{redirect.Status}' is no redirect; expected 301, 302, 303, 307 or 308");
        }
        if (route.Respond is { } respond)
        {
            CheckRespond(respond, section.Below("Respond"));
        }
    }

    private static void CheckRespond(RespondOptions respond, SectionValidator section)
    {
        section.Require(respond.Status is >= 200 and <= 599, "Status", $"'{respond.Status}' is out of range; expected 200 to 599");
        CheckTemplate(respond.Body ?? "", "Body", "", section);
        section.Require(respond.ContentType is null || FieldChanges.IsSendable(respond.ContentType), "ContentType",
            "cannot be sent; expected for example text/html");
        section.Require(respond.Body is null || respond.File is null, "File", "is used instead of Body; expected one of the two");
        section.Require(respond.File is null || FileError(respond.File) is null, "File",
            $"'{respond.File}' cannot be read: {(respond.File is null ? "" : FileError(respond.File))}");
    }

    private static void CheckChanges(HttpRouteOptions route, SectionValidator section)
    {
        var forwards = route.Redirect is null && route.Respond is null;
        section.Require(!route.StripPrefix || route.Path is not null, "StripPrefix", "needs a Path, which it takes away");
        section.Require(route.AddPrefix is null or "" || RequestRules.IsTarget(route.AddPrefix)
            && !route.AddPrefix.AsSpan().ContainsAny('?', '#')
            && !DotSegments.AreIn(route.AddPrefix),
            "AddPrefix", $"'{route.AddPrefix}' is not a path; expected for example /v2");
        if (route.Rewrite is { } rewrite)
        {
            section.Require(rewrite.Pattern is not null, "Rewrite:Pattern", "is missing; expected a regular expression");
            section.Require(rewrite.To is not null, "Rewrite:To", "is missing; expected for example /new/$1");
            CheckTarget(rewrite.To, "Rewrite:To", section);
            if (rewrite is { Pattern: not null, To: not null } && PathRewrite.FindError(rewrite) is var (key, error))
            {
                section.Require(false, $"Rewrite:{key}", error);
            }
        }
        section.Require(route.HostHeader.Length > 0 && RequestRules.IsTarget(route.HostHeader)
            && !route.HostHeader.AsSpan().ContainsAny("/\\?@,"), "HostHeader",
            $"'{route.HostHeader}' is not a host; expected Client, Backend or a name");
        CheckFields(route.RequestHeaders, section.Below("RequestHeaders"));
        CheckFields(route.ResponseHeaders, section.Below("ResponseHeaders"));
        foreach (var (key, isUsed) in new[]
                 {
                     ("StripPrefix", route.StripPrefix), ("AddPrefix", route.AddPrefix is not null),
                     ("Rewrite", route.Rewrite is not null), ("HostHeader", route.HostHeader != "Client"),
                     ("RequestHeaders", !route.RequestHeaders.IsEmpty),
                 })
        {
            section.Require(forwards || !isUsed, key, "is of no use here: this route answers by itself, no backend gets the request");
        }
    }

    private static void CheckFields(FieldChangeOptions changes, SectionValidator section)
    {
        foreach (var (kind, names) in new[] { ("Set", changes.Set.Keys), ("Add", changes.Add.Keys), ("Remove", changes.Remove) })
        {
            foreach (var (i, name) in names.Index())
            {
                var key = kind == "Remove" ? $"{kind}:{i}" : $"{kind}:{name}";
                section.Require(RequestRules.IsFieldName(name), key, $"'{name}' is not the name of a header field");
                section.Require(CanChange(name), key,
                    $"{name} cannot be changed{(name.Equals("Host", StringComparison.OrdinalIgnoreCase) ? "; expected HostHeader" : "")}");
            }
        }
        foreach (var (kind, fields) in new[] { ("Set", changes.Set), ("Add", changes.Add) })
        {
            foreach (var (name, value) in fields)
            {
                CheckTemplate(value, $"{kind}:{name}", "is null; expected a text, or the name in Remove", section);
                section.Require(value is null || FieldChanges.IsSendable(value), $"{kind}:{name}",
                    "has a character that a field cannot have");
            }
        }
    }

    private static void CheckTemplate(string? text, string key, string missing, SectionValidator section)
    {
        section.Require(text is not null, key, missing);
        if (text is not null && ValueTemplate.FindError(text, out _) is { } error)
        {
            section.Require(false, key, error);
        }
    }

    private static void CheckTarget(string? to, string key, SectionValidator section) => section.Require(
        to is null || RequestRules.IsTarget(to) || key == "Redirect:To" && !to.AsSpan().ContainsAnyExceptInRange('!', '~'), key,
        "has a character that an address cannot have; expected it percent-encoded");

    /// <summary>Why a file cannot be read; null where it can.</summary>
    public static string? FileError(string file)
    {
        try
        {
            using var stream = File.OpenRead(file);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message;
        }
    }

    // As clients send it: an IPv6 address in brackets, other letters as xn--.
    private static bool IsHost(string host) => host is ['[', .. var address, ']']
        ? Uri.CheckHostName(address) == UriHostNameType.IPv6
        : RequestRules.IsTarget(host) && !host.EndsWith('.')
            && Uri.CheckHostName(host.StartsWith("*.", StringComparison.Ordinal) ? host[2..]
                : host) is UriHostNameType.Dns or UriHostNameType.IPv4;
}
