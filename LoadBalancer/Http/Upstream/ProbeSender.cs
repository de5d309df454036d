using System.Collections.Immutable;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;
using LoadBalancer.Http.Upstream.Http2;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Sends the requests of probes, each over a connection of its own, because a server that accepts no new ones is not healthy, however many
/// old ones it still serves. It reads responses as they are read for requests, so a backend that passes its probes is not one whose
/// responses are refused.
/// </summary>
internal static class ProbeSender
{
    /// <summary>Sends one, and reads as much of the response as is wanted.</summary>
    /// <exception cref="MalformedResponseException">The response is not valid HTTP.</exception>
    /// <exception cref="IOException">There is none, or it is not complete.</exception>
    public static async Task<ProbeAnswer> SendAsync(ProbeRequest request, CancellationToken cancellationToken)
    {
        var stream = await ConnectAsync(request, cancellationToken);
        await using (stream)
        {
            var isHttp2 = stream is SslStream tls
                ? tls.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2
                : request.IsHttp2;
            if (!isHttp2 && request.IsHttp2Only)
            {
                throw new IOException("it does not negotiate HTTP/2");
            }
            var body = new ProbeBody(request.BodyLimit, request.Awaited);
            if (isHttp2)
            {
                var fields = new Dictionary<string, string>();
                var status = await Http2Probe.AskAsync(stream, FieldsOf(request), request.Body, body, fields, cancellationToken);
                return new ProbeAnswer(status, body.Written, fields);
            }
            await stream.WriteAsync(Encoding.Latin1.GetBytes(HeadOf(request)), cancellationToken);
            var head = await Http1Probe.ReadAsync(stream, request.Method == "HEAD", body, cancellationToken);
            return new ProbeAnswer(head.Status, body.Written, ImmutableDictionary<string, string>.Empty);
        }
    }

    private static IEnumerable<(string Name, string Value)> FieldsOf(ProbeRequest request) =>
    [
        (":method", request.Method), (":scheme", request.Address.IsUnix ? "http" : request.Address.Scheme),
        (":path", request.Target), (":authority", request.Host),
        .. request.Fields.Select(field => (field.Name.ToLowerInvariant(), field.Value)),
    ];

    private static string HeadOf(ProbeRequest request)
    {
        var head = new StringBuilder($"{request.Method} {request.Target} HTTP/1.1\r\nHost: {request.Host}\r\n");
        foreach (var (name, value) in request.Fields)
        {
            head.Append(name).Append(": ").Append(value).Append("\r\n");
        }
        if (request.Method is "POST" or "PUT" or "PATCH")
        {
            head.Append("Content-Length: 0\r\n"); // RFC 9110 section 8.6: these have a body, as a rule.
        }
        return head.Append("Connection: close\r\n\r\n").ToString();
    }

    private static async Task<Stream> ConnectAsync(ProbeRequest request, CancellationToken cancellationToken)
    {
        var socket = await Connector.OpenSocketAsync(request.Address, request.Backend.Hosts, cancellationToken);
        if (request.Address.Scheme != "https")
        {
            return new NetworkStream(socket, ownsSocket: true);
        }
        var protocols = request.IsHttp2Only ? BackendTrust.Http2Only : BackendTrust.AnyHttp;
        return await request.Trust.HandshakeAsync(socket, request.Backend.NamedAddress.Host, protocols, cancellationToken);
    }
}
