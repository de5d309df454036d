using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;
using LoadBalancer.Transport.Kestrel;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Checks the head of a request before the pipeline sees it: the form of its target, the lengths of its lines and, at a listener that
/// speaks HTTP/2 or HTTP/3, more (<see cref="RequestRules.FindHeadError"/>). There Kestrel would count the crumbs of a cookie as fields,
/// and reset the stream where the target is too long. It also takes the scheme from the request (<c>:scheme</c>): a proxy that ends TLS
/// and speaks HTTP/2 without TLS sends <c>https</c>.
/// </summary>
/// <param name="listener">The listener's name.</param>
/// <param name="options">Its options; they say who is a trusted proxy.</param>
/// <param name="speaksHttp2">Whether the listener speaks HTTP/2 or HTTP/3.</param>
/// <param name="errors">Counts what is refused; null for no count.</param>
internal sealed class HeadCheck(string listener, HttpListenerOptions options, bool speaksHttp2, ErrorStatistics? errors)
{
    private readonly string _scheme = options.Address.Scheme == "https" ? "https" : "http";
    private volatile HttpListenerOptions _options = options;

    /// <summary>Takes the trusted proxies and limits from new options.</summary>
    public void Apply(HttpListenerOptions options) => _options = options;

    /// <summary>The client of a request: the peer, or whom a trusted proxy names; see <see cref="RequestRules.Client"/>.</summary>
    public IPAddress? ClientOf(HttpRequest request)
    {
        var peer = request.HttpContext.Connection.RemoteIpAddress;
        var listener = _options;
        return listener.TrustedProxies.Count == 0 ? peer?.Unmap()
            : RequestRules.Client(listener, request, RequestRules.IsTrusted(listener, peer));
    }

    /// <summary>Sets the scheme of the request, and refuses a request whose head is not valid or too large.</summary>
    /// <param name="context">The request.</param>
    /// <param name="boundary">Counts the bytes of its connection, where the transport does.</param>
    /// <returns>Null where the request goes on, else the response.</returns>
    public Task? RefuseAsync(HttpContext context, RequestBoundary? boundary)
    {
        if (FindError(context, boundary) is not { } error)
        {
            return null;
        }
        var (status, message, _) = error.Response();
        errors?.Add(
            status, ErrorPlace.OfListener(listener), context.Request.Method, RequestRules.TargetOf(context), message);
        return ErrorResponse.WriteAsync(context, error);
    }

    private ForwardError? FindError(HttpContext context, RequestBoundary? boundary)
    {
        var limits = _options.HeaderLimits;
        var request = context.Request;
        if (!RequestRules.TryReadTarget(context))
        {
            return ForwardError.RequestHead;
        }
        BodyUpgrade.Offer(context);
        if (request.Headers.Authorization is { Count: > 0 } authorization && HeaderRules.AuthenticatesConnection(authorization)
            && boundary is not null)
        {
            boundary.HasState = true; // The backend's connection ends with the client's.
        }
        if (!speaksHttp2)
        {
            // Fewer bytes have no line that is too long.
            return boundary?.TakeConsumed() <= limits.LineBytes ? null : RequestRules.FindFieldError(request, limits, isHttp1: true);
        }
        if (request.Scheme != _scheme)
        {
            var (isHttp, isHttps) = (Is(request.Scheme, "http"), Is(request.Scheme, "https"));
            if (!isHttp && !isHttps)
            {
                return ForwardError.RequestHead; // RFC 9113 section 8.3.1 allows other schemes; HTTP backends do not serve them.
            }
            var isTrusted = RequestRules.IsTrusted(_options, context.Connection.RemoteIpAddress);
            request.Scheme = !isTrusted ? _scheme : isHttps ? "https" : "http";
        }
        return RequestRules.FindHeadError(context, limits);
    }

    private static bool Is(string scheme, string name) => scheme.Equals(name, StringComparison.OrdinalIgnoreCase);
}
