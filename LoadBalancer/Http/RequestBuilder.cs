using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http;

/// <summary>Builds the request that a backend gets out of the one that the client sent.</summary>
internal static class RequestBuilder
{
    private const string NodeName = "loadbalancer";
    private const int MostVisits = 10;

    private static readonly UriCreationOptions Verbatim = new() { DangerousDisablePathAndQueryCanonicalization = true };

    /// <summary>Whether the request's <c>Via</c> names this load balancer so often that it must be going round in circles.</summary>
    public static bool IsLoop(HttpRequest request)
    {
        var via = request.Headers.Via;
        return via.Count > 0 && via.Sum(line => line!.Split(',').Count(hop => hop.TrimEnd().EndsWith(" " + NodeName, StringComparison.OrdinalIgnoreCase))) >= MostVisits;
    }

    /// <summary>Whether the client announced a body, be it an empty one.</summary>
    public static bool HasBody(HttpContext context) =>
        context.Request.ContentLength is not null || context.Features.Get<IHttpRequestBodyDetectionFeature>()!.CanHaveBody;

    /// <summary>The request for a backend: same method, same target to the byte, same fields but for those between two neighbours.</summary>
    public static HttpRequestMessage Build(HttpContext context, EndpointAddress address, RequestBody? body)
    {
        var incoming = context.Request;
        var request = new HttpRequestMessage(HttpMethod.Parse(incoming.Method), new Uri(address + Target(context), Verbatim))
        {
            Content = body,
            Version = System.Net.HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        var named = HeaderRules.NamedByConnection(incoming.Headers.Connection);
        foreach (var (name, values) in incoming.Headers)
        {
            if (HeaderRules.IsHopByHop(name) || named?.Contains(name) == true || IsOurs(name))
            {
                continue;
            }
            if (values.Count == 1)
            {
                if (!request.Headers.TryAddWithoutValidation(name, values[0]))
                {
                    body?.Headers.TryAddWithoutValidation(name, values[0]);
                }
            }
            else if (!request.Headers.TryAddWithoutValidation(name, values.ToArray()))
            {
                body?.Headers.TryAddWithoutValidation(name, values.ToArray());
            }
        }
        AddOurs(context, request);
        return request;
    }

    private static bool IsOurs(string name) =>
        name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase) && name.Length is 13 + 2 or 12 + 3 or 12 + 4 or 12 + 5 ||
        name.Equals(HeaderNames.Via, StringComparison.OrdinalIgnoreCase);

    private static void AddOurs(HttpContext context, HttpRequestMessage request)
    {
        var headers = request.Headers;
        if (context.Connection.RemoteIpAddress is { } client)
        {
            headers.TryAddWithoutValidation("X-Forwarded-For", client.ToString());
        }
        headers.TryAddWithoutValidation("X-Forwarded-Proto", context.Request.Scheme);
        headers.TryAddWithoutValidation("X-Forwarded-Host", context.Request.Headers.Host.ToString());
        var version = HttpProtocol.IsHttp11(context.Request.Protocol) ? "1.1" : HttpProtocol.IsHttp2(context.Request.Protocol) ? "2" : "1.0";
        var via = context.Request.Headers.Via;
        headers.TryAddWithoutValidation(HeaderNames.Via, via.Count == 0 ? $"{version} {NodeName}" : $"{via}, {version} {NodeName}");
    }

    // The target as the client wrote it. Of the absolute form (http://host/path) only what follows the authority concerns the
    // backend; the authority itself is already in Host.
    private static string Target(HttpContext context)
    {
        var target = context.Features.Get<IHttpRequestFeature>()!.RawTarget;
        if (target.StartsWith('/'))
        {
            return target;
        }
        var schemeEnd = target.IndexOf("://", StringComparison.Ordinal);
        var path = schemeEnd < 0 ? -1 : target.AsSpan(schemeEnd + 3).IndexOfAny('/', '?');
        return path < 0 ? "/" : target[(schemeEnd + 3 + path)..] is var rest && rest.StartsWith('/') ? rest : "/" + rest;
    }
}
