using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;
using LoadBalancer.Http.Upstream.Http2;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// The handler below the client of the probes: sends each over a connection of its own, because a server that accepts no new ones is not
/// healthy, however many old ones it still serves. It reads the head of the response as it is read for requests, so a backend that passes
/// its probes is not one whose responses are refused. It holds nothing, so one serves all pools.
/// </summary>
internal sealed class ProbeHandler : HttpMessageHandler
{
    private const int FirstBuffer = 4 * 1024;

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var stream = await ConnectAsync(request, cancellationToken);
        var isHttp2 = stream is SslStream tls
            ? tls.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2
            : request.Version == HttpVersion.Version20;
        await using (stream)
        {
            if (isHttp2)
            {
                return new HttpResponseMessage((HttpStatusCode)await Http2Probe.AskAsync(stream, FieldsOf(request), cancellationToken));
            }
            await stream.WriteAsync(Encoding.Latin1.GetBytes(HeadOf(request)), cancellationToken);
            return new HttpResponseMessage((HttpStatusCode)await ReadStatusAsync(stream, cancellationToken));
        }
    }

    private static IEnumerable<(string Name, string Value)> FieldsOf(HttpRequestMessage request)
    {
        var uri = request.RequestUri!;
        return request.Headers.NonValidated.Select(field => (field.Key.ToLowerInvariant(), field.Value.ToString()))
            .Prepend((":authority", uri.Authority)).Prepend((":path", uri.PathAndQuery)).Prepend((":scheme", uri.Scheme))
            .Prepend((":method", request.Method.Method));
    }

    private static string HeadOf(HttpRequestMessage request)
    {
        var uri = request.RequestUri!;
        var head = new StringBuilder($"{request.Method} {uri.PathAndQuery} HTTP/1.1\r\nHost: {uri.Authority}\r\n");
        foreach (var (name, value) in request.Headers.NonValidated)
        {
            head.Append(name).Append(": ").Append(value).Append("\r\n");
        }
        return head.Append("Connection: close\r\n\r\n").ToString();
    }

    private static async Task<int> ReadStatusAsync(Stream stream, CancellationToken cancellationToken)
    {
        var (buffer, count, lines) = (new byte[FirstBuffer], 0, new HeaderLines([]));
        for (var interim = 0; interim <= Exchange.MaxInterimResponses;)
        {
            var length = ResponseHead.TryParse(buffer.AsSpan(0, count), lines, out var head);
            if (length > 0)
            {
                if (head.Status >= 200)
                {
                    return head.Status;
                }
                interim++;
                count -= length;
                buffer.AsSpan(length, count).CopyTo(buffer);
                continue;
            }
            if (count == buffer.Length)
            {
                Array.Resize(ref buffer, count * 2); // The parser refuses a head that is too large.
            }
            var received = await stream.ReadAsync(buffer.AsMemory(count), cancellationToken);
            count += received > 0 ? received : throw new IOException("connection closed");
        }
        throw new MalformedResponseException($"more than {Exchange.MaxInterimResponses} interim responses");
    }

    private static async Task<Stream> ConnectAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var uri = request.RequestUri!;
        request.Options.TryGetValue(Backend.Key, out var backend);
        var socket = await Connector.OpenSocketAsync(backend!.Address, backend.Hosts, cancellationToken);
        if (uri.Scheme != "https")
        {
            return new NetworkStream(socket, ownsSocket: true);
        }
        request.Options.TryGetValue(BackendTrust.Key, out var trust);
        return await trust!.HandshakeAsync(socket, uri.IdnHost, BackendTrust.AnyHttp, cancellationToken);
    }
}
