using System.Net;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Makes the request that a backend gets over HTTP/2, by the same rules as <see cref="RequestHeadWriter"/> for HTTP/1.1.
/// </summary>
internal static class Http2Message
{
    // Without this %2F, .. and // in the path would be changed.
    private static readonly UriCreationOptions AsItIs = new() { DangerousDisablePathAndQueryCanonicalization = true };

    /// <summary>Makes the message.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public static HttpRequestMessage From(ForwardRequest request, HttpContent? body)
    {
        var context = request.Context;
        var headers = context.Request.Headers;
        var target = context.Features.Get<IHttpRequestFeature>()!.RawTarget;
        if (request.IsConnect)
        {
            throw new ForwardException(ForwardError.Method, "a WebSocket, which is not supported over HTTP/2 towards backends");
        }
        if (HttpMethods.GetCanonicalizedValue(context.Request.Method) != context.Request.Method)
        {
            // hEAD is not HEAD.
            throw new ForwardException(ForwardError.RequestHead, "a method that the framework would take for another one");
        }
        if (!RequestRules.IsTarget(target) || target == "*")
        {
            throw new ForwardException(ForwardError.RequestHead, "a target that HTTP/2 towards the backend cannot carry");
        }
        var uri = new Uri($"{request.Backend.Address}{RequestRules.OriginForm(target)}", AsItIs);
        var message = new HttpRequestMessage(new HttpMethod(context.Request.Method), uri)
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = body,
        };
        // RFC 9113 section 8.3.1: never empty.
        Add(message, "Host", headers.Host.ToString() is { Length: > 0 } host ? host : request.Backend.Address.Authority);
        var named = HeaderRules.NamedByConnection(headers.Connection);
        foreach (var (name, values) in headers)
        {
            // The handler cannot send trailers, so they are not announced either.
            if (HeaderRules.IsForwarded(name) && named?.Contains(name) != true
                && !name.Equals(HeaderNames.Trailer, StringComparison.OrdinalIgnoreCase))
            {
                if (!RequestRules.IsFieldName(name))
                {
                    throw new ForwardException(ForwardError.RequestHead, "an invalid field name");
                }
                foreach (var value in values)
                {
                    Add(message, name, value!);
                }
            }
        }
        if (HeaderRules.TakesTrailers(headers.TE))
        {
            Add(message, "TE", "trailers");
        }
        var writer = new FieldWriter(message);
        ForwardingFields.Write(ref writer, context, request.IsPeerTrusted);
        if (body is not null)
        {
            body.Headers.ContentLength = context.Request.ContentLength;
        }
        return message;
    }

    // The framework keeps the fields of the body in the content.
    private static void Add(HttpRequestMessage message, string name, string value)
    {
        if (!RequestRules.IsFieldValue(value))
        {
            throw new ForwardException(ForwardError.RequestHead, "a control character in a field");
        }
        if (!message.Headers.TryAddWithoutValidation(name, value))
        {
            message.Content?.Headers.TryAddWithoutValidation(name, value);
        }
    }

    private readonly struct FieldWriter(HttpRequestMessage message) : IFieldWriter
    {
        public void AddField(string name, StringValues before, string value) =>
            Add(message, name, before.Count == 0 ? value : string.Join(", ", StringValues.Concat(before, value).ToArray()));

        public void AddField(string name, StringValues before, IPAddress value) => AddField(name, before, value.ToString());
    }
}
