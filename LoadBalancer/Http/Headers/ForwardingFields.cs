using System.Net;
using LoadBalancer.Net;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Headers;

/// <summary>Takes the fields of a request for a backend, in the shape of one HTTP version.</summary>
internal interface IFieldWriter
{
    /// <summary>Adds a field whose value is a list: what other proxies have put there, then our own part.</summary>
    void AddField(string name, StringValues before, string value);

    /// <inheritdoc cref="AddField(string, StringValues, string)"/>
    void AddField(string name, StringValues before, IPAddress value);
}

/// <summary>
/// The fields in which a proxy names the client (X-Forwarded-For, -Proto, -Host; Forwarded of RFC 7239) and itself (Via, where a
/// listener has a name for it). From a trusted peer, what it says of the client stays, and the peer itself is added; from any other it is
/// replaced.
/// </summary>
internal static class ForwardingFields
{
    private const string For = "X-Forwarded-For";
    private const string Proto = "X-Forwarded-Proto";
    private const string Host = "X-Forwarded-Host";
    private const string Forwarded = "Forwarded";

    /// <summary>Writes them.</summary>
    /// <param name="to">The head of the request that the backend gets.</param>
    /// <param name="context">The client's request.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    /// <param name="via">The name of this proxy in Via; null: no Via is added.</param>
    /// <param name="traceParent">The span of the attempt, where the request is traced (W3C Trace Context).</param>
    public static void Write<TWriter>(ref TWriter to, HttpContext context, bool isPeerTrusted, ViaName? via, string? traceParent)
        where TWriter : struct, IFieldWriter
    {
        var headers = context.Request.Headers;
        var before = isPeerTrusted ? headers[For] : default;
        if (context.Connection.RemoteIpAddress?.Unmap() is { } client)
        {
            to.AddField(For, before, client);
        }
        else
        {
            // Through a Unix socket. What a trusted proxy has said stays as it is: backends that read it from its end would take unix: for
            // the client.
            to.AddField(For, default, before.Count > 0 ? before.ToString() : UnixPeers.Name);
        }
        to.AddField(Proto, default, isPeerTrusted && headers[Proto] is { Count: > 0 } proto ? proto.ToString() : context.Request.Scheme);
        // A request of HTTP/1.0 need not have a Host. Then the requested host is not known.
        if ((isPeerTrusted && headers[Host] is { Count: > 0 } host ? host : headers.Host).ToString() is { Length: > 0 } asked)
        {
            to.AddField(Host, default, asked);
        }
        if (isPeerTrusted && headers[Forwarded] is { Count: > 0 } forwarded)
        {
            to.AddField(Forwarded, default, forwarded.ToString());
        }
        if (via is not null)
        {
            to.AddField(HeaderNames.Via, headers.Via, via.For(context.Request.Protocol));
        }
        if (traceParent is not null)
        {
            to.AddField(HeaderNames.TraceParent, default, traceParent);
        }
    }
}
