using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>
/// Clients that send all of their request before they read see why it was refused: the connection is closed in stages, also where Kestrel
/// answers by itself.
/// </summary>
internal sealed class RefusalWhileSendingTests
{
    private const int Large = 20 * 1024 * 1024;

    private static readonly string[] Requests =
    [
        $"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {Large}\r\n\r\n", // 413 by the forwarder
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + $"{Large:x}\r\n", // 413 as it is read
        "POST /" + new string('x', Large) + " HTTP/1.1\r\nHost: a\r\n\r\n", // 414
        "POST / HTTP/1.1\r\nHost: a\r\nX-Large: " + new string('x', Large) + "\r\n\r\n", // 431
        "POST / HTTP/1.1\r\nHost: a\r\nNo-Colon\r\n\r\n", // 400
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", // 400 as it is read
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", // 501
    ];

    private static readonly int[] Statuses = [413, 413, 414, 431, 400, 400, 501];

    [Test]
    public async Task Refused_ClientReadsOnlyWhenAllIsSent_SeesTheAnswer(
        [Range(0, 6)] int request, [Values] bool isTls)
    {
        using var certificates = new TestCertificates();
        var certificate = certificates.Issue("it", "it.test");
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with
        {
            MaxRequestBodySize = 1024 * 1024,
            Address = TestNode.Parse(isTls ? "https://127.0.0.1:0" : "http://127.0.0.1:0"),
            Certificates = isTls ? [certificate] : [],
        });
        using var client = new TcpClient("127.0.0.1", node.Port);
        await using var stream = isTls
            ? new SslStream(client.GetStream(), false, (_, _, _, _) => true)
            : (Stream)client.GetStream();
        if (stream is SslStream tls)
        {
            await tls.AuthenticateAsClientAsync("it.test");
        }

        await stream.WriteAsync(Encoding.Latin1.GetBytes(Requests[request]));
        await stream.WriteAsync(new byte[Large]);
        using var answer = new MemoryStream();
        await stream.CopyToAsync(answer);

        Encoding.Latin1.GetString(answer.ToArray()).Should().StartWith($"HTTP/1.1 {Statuses[request]} ");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }
}
