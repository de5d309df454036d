using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// One attempt to forward a client's request, as a message for <see cref="HttpClient"/>. It carries the client's request itself, which is
/// written to the backend without being copied to <see cref="HttpRequestMessage.Headers"/>.
/// </summary>
internal sealed class ForwardRequest(HttpContext context, Backend backend, RequestBody? body, bool isPeerTrusted)
    : HttpRequestMessage(HttpMethod.Get, Placeholder)
{
    // HttpClient needs an absolute URI; it is not used.
    private static readonly Uri Placeholder = new("http://backend/");

    /// <summary>The client's request.</summary>
    public HttpContext Context => context;

    /// <summary>The backend that gets it.</summary>
    public Backend Backend => backend;

    /// <summary>Its body, where it has one.</summary>
    public RequestBody? Body => body;

    /// <summary>Whether it needs a new connection, because an idle one has just turned out to be closed.</summary>
    public bool WantsFreshConnection { get; init; }

    /// <summary>
    /// Whether only HTTP/1.1 may be used where TLS negotiates the version: it has just negotiated that, or the request is an upgrade.
    /// </summary>
    public bool WantsHttp1 { get => field || IsUpgrade; init; }

    /// <summary>What the request's route changes; null where it changes nothing.</summary>
    public RoutedRequest? Routed { get; init; }

    /// <summary>The attempt's span; null where it is not traced.</summary>
    public AttemptTrace? Trace { get; init; }

    /// <summary>The time-outs, where its route has others than the pool.</summary>
    public TimeoutOptions? Timeouts => Routed?.Timeouts;

    /// <summary>The target that the backend gets: of the absolute form (http://host/path), what follows the authority.</summary>
    /// <exception cref="ForwardException">It cannot be sent.</exception>
    public ReadOnlySpan<char> Target
    {
        get
        {
            if (Routed is not null)
            {
                return Routed.Target;
            }
            var target = RequestRules.TargetOf(Context);
            return RequestRules.IsTarget(target)
                ? RequestRules.OriginForm(target)
                : throw new ForwardException(ForwardError.RequestHead, "a control character in the target");
        }
    }

    /// <summary>The host that the backend gets.</summary>
    public string Host
    {
        get
        {
            var host = Routed?.Rules.Host ?? Context.Request.Headers.Host.ToString();
            return host.Length > 0 ? host : Backend.NamedAddress.Authority;
        }
    }

    /// <summary>Cancelled when another attempt at the same request was faster.</summary>
    public CancellationToken Superseded { get; init; }

    /// <summary>Whether the peer is a trusted proxy.</summary>
    public bool IsPeerTrusted => isPeerTrusted;

    /// <summary>Whether the client asks for another protocol, which only HTTP/1.1 can switch to.</summary>
    public bool IsUpgrade => UpgradeProtocol is not null;

    /// <summary>
    /// The same over HTTP/2, where the tunnel is the request's stream (RFC 8441): a request with a body cannot ask for one.
    /// </summary>
    public bool IsHttp2Upgrade => IsUpgrade && Body is null;

    /// <summary>The protocol that the client asks for, or null.</summary>
    public string? UpgradeProtocol { get; } = RequestRules.UpgradeProtocol(context);

    /// <summary>Whether it is a WebSocket over HTTP/2, which begins with CONNECT (RFC 8441) instead of GET.</summary>
    public bool IsConnect { get; } = HttpMethods.IsConnect(context.Request.Method);

    /// <summary>Whether the client waits for 100 (Continue) before it sends its body.</summary>
    public bool ExpectsContinue =>
        Body is not null && string.Equals(Context.Request.Headers.Expect, "100-continue", StringComparison.OrdinalIgnoreCase);
}
