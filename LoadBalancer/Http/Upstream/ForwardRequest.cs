using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// One attempt to forward a client's request, in the shape that <see cref="HttpClient"/> passes on. It carries the client's request
/// itself: it is written to the backend without a detour through <see cref="HttpRequestMessage.Headers"/>.
/// </summary>
internal sealed class ForwardRequest(HttpContext context, Backend backend, RequestBody? body, bool isPeerTrusted) : HttpRequestMessage(HttpMethod.Get, Placeholder)
{
    // HttpClient wants an absolute URI; nobody reads it.
    private static readonly Uri Placeholder = new("http://backend/");

    /// <summary>The client's request.</summary>
    public HttpContext Context => context;

    /// <summary>Who is to have it.</summary>
    public Backend Backend => backend;

    /// <summary>Its body, where it has one.</summary>
    public RequestBody? Body => body;

    /// <summary>Whether an idle connection is not good enough: one has just proved dead.</summary>
    public bool WantsFreshConnection { get; init; }

    /// <summary>Whether only HTTP/1.1 will do where TLS negotiates the version: it has just negotiated that, or another protocol is to follow.</summary>
    public bool WantsHttp1 { get => field || IsUpgrade; init; }

    /// <summary>Cancelled when another attempt at the same request was faster.</summary>
    public CancellationToken Superseded { get; init; }

    /// <summary>Whether the peer's word on who the client is counts.</summary>
    public bool IsPeerTrusted => isPeerTrusted;

    /// <summary>Whether the client asks for another protocol, so that only HTTP/1.1 will do towards the backend.</summary>
    public bool IsUpgrade => UpgradeProtocol is not null;

    /// <summary>The protocol that it asks for, or null.</summary>
    public string? UpgradeProtocol { get; } = RequestRules.UpgradeProtocol(context);

    /// <summary>Whether that is a WebSocket over HTTP/2, which begins with CONNECT (RFC 8441) where HTTP/1.1 says GET.</summary>
    public bool IsConnect { get; } = HttpMethods.IsConnect(context.Request.Method);

    /// <summary>Whether the client holds its body back until somebody says that it is wanted.</summary>
    public bool ExpectsContinue =>
        Body is not null && string.Equals(Context.Request.Headers.Expect, "100-continue", StringComparison.OrdinalIgnoreCase);
}
