using System.Diagnostics;
using System.Globalization;
using System.Net;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Tracing;

/// <summary>
/// The span of a request at a listener, and a span below it for each attempt at a backend. A feature of requests that are traced. Names and
/// attributes are those of OpenTelemetry's semantic conventions for HTTP.
/// </summary>
internal sealed class RequestTrace
{
    private static readonly string[] KnownMethods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

    private static int _running; // requests of this process

    private readonly Activity _span;
    private readonly bool _hasParent;
    private readonly string _method;
    private readonly string _path;
    private string? _error;
    private int _attempts;
    private AttemptTrace? _latest;

    /// <summary>Begins.</summary>
    /// <param name="span">The span, not started.</param>
    /// <param name="hasParent">Whether the client has sent the trace.</param>
    /// <param name="context">The request.</param>
    public RequestTrace(Activity span, bool hasParent, HttpContext context)
    {
        var request = context.Request;
        (_span, _hasParent) = (span, hasParent);
        var isKnown = KnownMethods.Contains(request.Method);
        _method = isKnown ? request.Method : "HTTP"; // in the names of spans
        _path = RequestRules.PathOf(RequestRules.OriginForm(RequestRules.TargetOf(context))).ToString();
        span.DisplayName = _method;
        SetMethod(span, request.Method, isKnown);
        span.SetTag("url.scheme", request.Scheme);
        span.SetTag("url.path", _path); // without the query, which may hold secrets
        if (request.Host.HasValue)
        {
            span.SetTag("server.address", request.Host.Host);
            span.SetTag("server.port", request.Host.Port ?? context.Connection.LocalPort);
        }
        span.SetTag("network.protocol.version", request.Protocol["HTTP/".Length..]);
        if (request.Headers.UserAgent is { Count: > 0 } agent)
        {
            span.SetTag("user_agent.original", agent.ToString());
        }
        Start(span);
        Interlocked.Increment(ref _running);
    }

    /// <summary>The trace of a request; null where it is not traced.</summary>
    public static RequestTrace? Find(HttpContext context) =>
        Volatile.Read(ref _running) > 0 ? context.Features.Get<RequestTrace>() : null; // To find that there is none would take long.

    /// <summary>The identifier of the trace, 32 hexadecimal digits.</summary>
    public string TraceId => _span.TraceId.ToHexString();

    /// <summary>Adds what is known of the request at its listener.</summary>
    /// <param name="client">The client's address.</param>
    /// <param name="route">The name of its route; null where it has none.</param>
    /// <param name="path">The path, or pattern, that the route is for.</param>
    public void Describe(IPAddress? client, string? route, string? path)
    {
        _span.SetTag("client.address", client?.ToString());
        _span.SetTag("loadbalancer.route", route);
        if (path is not null)
        {
            _span.SetTag("http.route", path);
            _span.DisplayName = $"{_method} {path}";
        }
    }

    /// <summary>Begins an attempt at a backend; null where it has no span.</summary>
    /// <param name="pool">The backend's pool.</param>
    /// <param name="backend">The backend.</param>
    /// <param name="target">The target that it gets, where that is not the client's.</param>
    public AttemptTrace? BeginAttempt(string pool, Backend backend, string? target)
    {
        if (NodeTracing.Source.CreateActivity(_method, ActivityKind.Client, _span.Context) is not { } span)
        {
            return null;
        }
        var path = target is null ? _path : RequestRules.PathOf(target).ToString();
        SetMethod(span, (string)_span.GetTagItem("http.request.method")!, true);
        span.SetTag("server.address", backend.Address.Host);
        if (!backend.Address.IsUnix)
        {
            span.SetTag("server.port", backend.Address.Port);
        }
        span.SetTag("url.full", $"{backend.Address.HttpUrl}{(path == "*" ? "" : path)}");
        span.SetTag("loadbalancer.pool", pool);
        span.SetTag("loadbalancer.backend", backend.Name);
        if (_attempts++ is > 0 and var resent)
        {
            span.SetTag("http.request.resend_count", resent);
            span.SetTag("loadbalancer.attempt", _latest is { IsRunning: true } ? "hedge" : "retry");
        }
        Start(span);
        return _latest = new AttemptTrace(span, _hasParent);
    }

    /// <summary>Sets why the response is the load balancer's own, or broken, in the words of RFC 9209.</summary>
    public void SetError(string type) => _error = type;

    /// <summary>Ends the trace: the response is complete, or was given up.</summary>
    public void End(HttpContext context)
    {
        var response = context.Response;
        if (response.HasStarted)
        {
            _span.SetTag("http.response.status_code", response.StatusCode);
            _error ??= response.StatusCode >= 500 ? response.StatusCode.ToString(CultureInfo.InvariantCulture) : null;
        }
        else
        {
            _error ??= AttemptTrace.Cancelled;
        }
        if (_error is not null)
        {
            _span.SetTag("error.type", _error);
            // What is the client's fault is no error of a server.
            _span.SetStatus(response.HasStarted && response.StatusCode is >= 400 and < 500 || _error == AttemptTrace.Cancelled
                ? ActivityStatusCode.Unset : ActivityStatusCode.Error);
        }
        _span.Stop();
        Interlocked.Decrement(ref _running);
    }

    // Without making it the current one of the flow, where others would take it for their parent.
    private static void Start(Activity span)
    {
        var current = Activity.Current;
        span.Start();
        Activity.Current = current;
    }

    private static void SetMethod(Activity span, string method, bool isKnown)
    {
        span.SetTag("http.request.method", isKnown ? method : "_OTHER");
        if (!isKnown)
        {
            span.SetTag("http.request.method_original", method);
        }
    }
}
