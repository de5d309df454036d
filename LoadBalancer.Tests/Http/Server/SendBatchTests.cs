using System.Net;
using System.Security.Cryptography;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>What is sent to HTTP/2 clients is sent in batches: complete, in order, and at once.</summary>
internal sealed class SendBatchTests
{
    private TestCertificates _certificates = null!;

    [SetUp]
    public void MakeCertificates() => _certificates = new TestCertificates();

    [TearDown]
    public void DeleteCertificates() => _certificates.Dispose();

    [TestCase(true)]
    [TestCase(false)]
    public async Task Bodies_LargeAndMany_ArriveWhole(bool isTls)
    {
        var body = RandomNumberGenerator.GetBytes(3_000_000);
        await using var backend = await KestrelBackend.StartAsync(async context =>
        {
            context.Response.ContentLength = body.Length;
            await context.Response.Body.WriteAsync(body);
        }, HttpProtocols.Http1);
        await using var node = await StartAsync(backend.Address, isTls);
        using var client = new HttpClient(TestNode.NewHandler())
        {
            BaseAddress = new Uri($"{(isTls ? "https" : "http")}://127.0.0.1:{node.Port}"),
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        var received = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => client.GetByteArrayAsync("/")));

        received.Count(copy => copy.AsSpan().SequenceEqual(body)).Should().Be(12);
    }

    [Test]
    public async Task Body_ClientDoesNotRead_WaitsAndArrivesWhole()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n{new string('x', 8_000_000)}");
        });
        await using var node = await StartAsync(backend, isTls: false);
        using var client = await Http2Peer.ConnectAsync(node.Port);
        await client.SendFrameAsync(Http2Wire.Settings, 0, 0, "\0\u0004\x7f\xff\xff\xff"); // a window of 2^31-1 for each stream
        await client.SendFrameAsync(Http2Wire.WindowUpdate, 0, 0, "\x7f\xfe\x00\x00");

        await client.SendRequestAsync(1, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"));
        await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the backend sends");

        var length = 0;
        while (length < 8_000_000 && await client.ReadFrameAsync(Http2Wire.Data) is { } frame)
        {
            length += frame.Payload.Length;
        }
        length.Should().Be(8_000_000);
    }

    private Task<TestNode> StartAsync(RawServer backend, bool isTls) => StartAsync(backend.Address, isTls);

    private Task<TestNode> StartAsync(string backend, bool isTls) => TestNode.StartAsync([backend], listener: listener => isTls
        ? listener with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = [_certificates.Issue("it", "it.test")] }
        : listener with { HttpVersion = HttpVersion.Version20 });
}
