using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Text;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Headers;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Answers a plain HTTP request that was sent to the port of an https:// listener with 400, before the connection is closed: a browser
/// shows that, and would show nothing that helps otherwise. The request is logged and counted as others that are refused.
/// </summary>
internal sealed class PlainRequestRefusal(
    string listener, AccessLog? log, Func<AccessLogLayout> layout, ErrorStatistics? errors, TimeProvider time)
{
    private const int LongestHead = 8 * 1024;
    private const string Body = "The plain HTTP request was sent to an HTTPS port\n";

    /// <summary>Whether a connection that begins with this byte may be plain HTTP: a method has letters, and TLS begins with 22.</summary>
    public static bool IsPlain(byte first) => char.IsAsciiLetter((char)first);

    /// <summary>Reads the head of the request, as far as it comes, and answers it.</summary>
    public async Task AnswerAsync(ConnectionContext connection, CancellationToken stopping)
    {
        var line = RequestLine(await ReadHeadAsync(connection.Transport.Input, stopping));
        var isHead = line.Method == HttpMethods.Head;
        var head = string.Create(CultureInfo.InvariantCulture, $"""
            HTTP/1.1 400 Bad Request
            Content-Length: {Body.Length}
            Content-Type: text/plain; charset=utf-8
            Connection: close
            Date: {time.GetUtcNow():R}
            Proxy-Status: {HeaderRules.NodeName}; error=http_request_error


            """).ReplaceLineEndings("\r\n");
        await connection.Transport.Output.WriteAsync(Encoding.Latin1.GetBytes(head + (isHead ? "" : Body)), stopping);
        errors?.Add(
            400, ErrorPlace.OfListener(listener), line.Method, line.Target, "plain HTTP was sent to a port that speaks TLS");
        log?.Write(new AccessRecord
        {
            Layout = layout(),
            Time = time.GetUtcNow(),
            Client = (connection.RemoteEndPoint as IPEndPoint)?.Address.Unmap(),
            Method = line.Method,
            Target = line.Target,
            Protocol = line.Protocol,
            Status = 400,
            Bytes = isHead ? 0 : Body.Length,
        });
    }

    private static async Task<string> ReadHeadAsync(PipeReader input, CancellationToken stopping)
    {
        while (true)
        {
            var read = await input.ReadAsync(stopping);
            var head = Encoding.Latin1.GetString(read.Buffer);
            var isWhole = head.Contains("\r\n\r\n", StringComparison.Ordinal) || head.Length >= LongestHead
                || read.IsCompleted;
            input.AdvanceTo(isWhole ? read.Buffer.End : read.Buffer.Start, read.Buffer.End);
            if (isWhole)
            {
                return head;
            }
        }
    }

    private static (string Method, string Target, string Protocol) RequestLine(string head) =>
        head.Split("\r\n")[0].Split(' ') is [var method, var target, var protocol] ? (method, target, protocol) : ("-", "-", "-");
}
