using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Writes the request that a backend gets over HTTP/2, by the same rules as <see cref="RequestHeadWriter"/> does for HTTP/1.1.
/// </summary>
internal static class Http2Message
{
    // Otherwise %2F, .. and // in the path would be repaired, which is not for us to do.
    private static readonly UriCreationOptions AsItIs = new() { DangerousDisablePathAndQueryCanonicalization = true };

    /// <summary>Makes the message.</summary>
    /// <exception cref="ForwardException">There is something in it that must not be passed on.</exception>
    public static HttpRequestMessage From(ForwardRequest request, HttpContent? body)
    {
        var context = request.Context;
        var headers = context.Request.Headers;
        var target = context.Features.Get<IHttpRequestFeature>()!.RawTarget;
        if (request.IsConnect)
        {
            throw new ForwardException(ForwardError.Method, "a WebSocket, which is not spoken over HTTP/2 towards backends");
        }
        if (HttpMethods.GetCanonicalizedValue(context.Request.Method) != context.Request.Method)
        {
            throw new ForwardException(ForwardError.RequestHead, "a method that the framework would take for another one"); // hEAD is not HEAD.
        }
        if (!RequestRules.IsTarget(target) || target == "*")
        {
            throw new ForwardException(ForwardError.RequestHead, "a target that HTTP/2 towards the backend cannot carry");
        }
        var message = new HttpRequestMessage(new HttpMethod(context.Request.Method), new Uri($"{request.Backend.Address}{RequestRules.OriginForm(target)}", AsItIs))
        {
            Version = System.Net.HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = body,
        };
        var host = headers.Host.Count > 0 ? headers.Host.ToString() : request.Backend.Address.Authority;
        Add(message, "Host", host);
        var named = HeaderRules.NamedByConnection(headers.Connection);
        foreach (var (name, values) in headers)
        {
            // The handler cannot send trailers, so they need not be announced either.
            if (HeaderRules.IsForwarded(name) && named?.Contains(name) != true && !name.Equals(HeaderNames.Trailer, StringComparison.OrdinalIgnoreCase))
            {
                if (!RequestRules.IsFieldName(name))
                {
                    throw new ForwardException(ForwardError.RequestHead, "an invalid field name");
                }
                foreach (var value in values)
                {
                    Add(message, name, RequestRules.IsFieldValue(value!) ? value! : throw new ForwardException(ForwardError.RequestHead, "a control character in a field"));
                }
            }
        }
        if (HeaderRules.TakesTrailers(headers.TE))
        {
            Add(message, "TE", "trailers");
        }
        AddForwarding(message, context, host, request.IsPeerTrusted);
        if (body is not null)
        {
            body.Headers.ContentLength = context.Request.ContentLength;
        }
        return message;
    }

    // From a trusted peer what it says of the client before it stays, and the peer itself is added; from anybody else it is replaced.
    private static void AddForwarding(HttpRequestMessage message, HttpContext context, string host, bool isTrusted)
    {
        var headers = context.Request.Headers;
        var client = RequestRules.Plain(context.Connection.RemoteIpAddress);
        Add(message, "X-Forwarded-For", isTrusted && headers["X-Forwarded-For"] is { Count: > 0 } before ? $"{before}, {client}" : $"{client}");
        Add(message, "X-Forwarded-Proto", isTrusted && headers["X-Forwarded-Proto"] is { Count: > 0 } proto ? proto.ToString() : context.Request.Scheme);
        Add(message, "X-Forwarded-Host", isTrusted && headers["X-Forwarded-Host"] is { Count: > 0 } original ? original.ToString() : host);
        if (isTrusted && headers["Forwarded"] is { Count: > 0 } forwarded)
        {
            Add(message, "Forwarded", forwarded.ToString());
        }
        Add(message, "Via", string.Join(", ", headers.Via.Append($"{HeaderRules.ViaVersion(context.Request.Protocol)} {HeaderRules.NodeName}")));
    }

    // The framework keeps fields about the body apart.
    private static void Add(HttpRequestMessage message, string name, string value)
    {
        if (!message.Headers.TryAddWithoutValidation(name, value))
        {
            message.Content?.Headers.TryAddWithoutValidation(name, value);
        }
    }
}
