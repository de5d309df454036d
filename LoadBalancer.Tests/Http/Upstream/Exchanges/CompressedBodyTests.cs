using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Upstream.Exchanges;

/// <summary>Bodies that are compressed on their way, in any framing and HTTP version, also where they are slow or broken.</summary>
[TimeLimit(60)]
internal sealed class CompressedBodyTests
{
    private const string ChunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

    private static readonly string Text = CompressingNode.Text;
    private static readonly string Large = string.Concat(Enumerable.Repeat(Text, 100));

    private static readonly Dictionary<string, Func<string, string>> Framings = new()
    {
        ["Length"] = body => CompressingNode.Json(body),
        ["Chunked"] = body => $"{ChunkedHead}{Chunk(body)}0\r\n\r\n",
        ["SmallChunks"] = body => ChunkedHead + string.Concat(body.Chunk(997).Select(part => Chunk(new string(part)))) + "0\r\n\r\n",
        ["UntilClose"] = body => $"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}",
    };

    private static IEnumerable<string> FramingNames => Framings.Keys;

    [Test]
    public async Task Body_FramedInAnyWay_ArrivesWhole(
        [ValueSource(nameof(FramingNames))] string framing, [Values("gzip", "br")] string coding, [Values("1.1", "1.0")] string version,
        [Values] bool isLarge)
    {
        var body = isLarge ? Large : Text;
        await using var node = await ServingOnceAsync(Framings[framing](body));

        var answer = await node.GetAsync($"Accept-Encoding: {coding}\r\n", version: version);

        CompressingNode.HeadOf(answer).Should().Contain($"\r\nContent-Encoding: {coding}\r\n").And.NotContain("Content-Length");
        CompressingNode.HeadOf(answer).Contains("Transfer-Encoding: chunked", StringComparison.Ordinal).Should().Be(version == "1.1");
        answer.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal).Should().Be(version == "1.1");
        CompressingNode.BodyOf(answer).Should().Be(body);
    }

    [Test]
    public async Task Body_AtEachLevel_ArrivesWhole(
        [Values("Fastest", "Optimal", "SmallestSize")] string level, [Values("gzip", "br")] string coding)
    {
        await using var node = await CompressingNode.AnsweringAsync(
            Framings["SmallChunks"](Text), $$"""{ "Level": "{{level}}" }""",
            $$"""
            "Routes": [ { "Path": "/own", "Respond": { "Body": "{{new string('a', 5000)}}" } } ],
            """);

        CompressingNode.BodyOf(await node.GetAsync($"Accept-Encoding: {coding}\r\n")).Should().Be(Text);
        CompressingNode.BodyOf(await node.GetAsync($"Accept-Encoding: {coding}\r\n", target: "/own")).Should().Be(new string('a', 5000));
    }

    [Test]
    public async Task Body_EmptyInChunks_IsAnEmptyBody([Values("gzip", "br")] string coding)
    {
        await using var node = await CompressingNode.AnsweringAsync(ChunkedHead + "0\r\n\r\n");

        var answer = await node.GetAsync($"Accept-Encoding: {coding}\r\n");

        CompressingNode.BodyOf(answer).Should().BeEmpty();
        answer.Should().EndWith("\r\n0\r\n\r\n").And.NotContain("\r\n\r\n0\r\n", "a body that is compressed has bytes");
    }

    [Test]
    public async Task Body_OneByteAtATime_ArrivesWhole()
    {
        await using var node = await CompressingNode.ServingAsync(
            peer => peer.SendByteByByteAsync(Framings["SmallChunks"](Text[..1500])));

        CompressingNode.BodyOf(await node.GetAsync()).Should().Be(Text[..1500]);
    }

    [Test]
    public async Task Body_Slow_ArrivesPieceByPiece([Values("Chunked", "Length")] string framing, [Values("gzip", "br")] string coding)
    {
        var told = new TaskCompletionSource();
        await using var node = await CompressingNode.ServingAsync(async peer =>
        {
            await peer.SendAsync(framing == "Chunked" ? ChunkedHead + Chunk("first,") : CompressingNode.Json(Text)[..^(Text.Length - 6)]);
            await told.Task;
            await peer.SendAsync(framing == "Chunked" ? Chunk("second") + "0\r\n\r\n" : Text[6..]);
        });
        using var client = await RawPeer.ConnectAsync(node.Node.Port);
        await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n");

        var expected = framing == "Chunked" ? "first," : Text[..6];
        var answer = "";
        while (!answer.Contains("\r\n\r\n", StringComparison.Ordinal) || CompressingNode.BodyOf(answer) != expected)
        {
            answer += await client.ReadSomeAsync(); // It never comes where the beginning waits for the end.
        }
        told.SetResult();
        CompressingNode.BodyOf(answer + await client.ReadToEndAsync()).Should().Be(framing == "Chunked" ? "first,second" : Text);
    }

    [Test]
    public async Task Body_SlowToBegin_HeadDoesNotWaitForIt()
    {
        var told = new TaskCompletionSource();
        await using var node = await CompressingNode.ServingAsync(async peer =>
        {
            await peer.SendAsync(ChunkedHead);
            await told.Task;
            await peer.SendAsync(Chunk(Text) + "0\r\n\r\n");
        });
        using var client = await RawPeer.ConnectAsync(node.Node.Port);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");

        var head = await client.ReadHeadAsync();
        told.SetResult();

        CompressingNode.BodyOf(head + await client.ReadToEndAsync()).Should().Be(Text);
    }

    [Test]
    public async Task Body_WithTrailers_ClientGetsThem()
    {
        await using var node = await CompressingNode.AnsweringAsync(
            $"{ChunkedHead}{Chunk(Text)}0\r\nX-Sum: 1\r\nContent-Type: evil\r\n\r\n");

        var answer = await node.GetAsync();

        answer.Should().EndWith("\r\n0\r\nX-Sum: 1\r\n\r\n");
        CompressingNode.BodyOf(answer).Should().Be(Text);
    }

    [Test]
    public async Task Body_BreaksOff_ClientSeesIt([Values("Chunked", "Length")] string framing, [Values] bool isReset)
    {
        await using var node = await CompressingNode.ServingAsync(async peer =>
        {
            await peer.SendAsync(framing == "Chunked" ? ChunkedHead + Chunk(Text) : CompressingNode.Json(Text + Text)[..^Text.Length]);
            if (isReset)
            {
                peer.Reset();
            }
            peer.Dispose();
        });
        using var client = await RawPeer.ConnectAsync(node.Node.Port);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");

        (await client.ReadToEndAsync()).Should().NotEndWith("\r\n0\r\n\r\n");
        await node.Node.Log.SaysAsync("ended in the middle of a response");
    }

    [Test]
    public async Task Connection_AfterACompressedResponse_ServesTheNext(
        [Values("Length", "Chunked", "SmallChunks")] string framing, [Values] bool isLarge)
    {
        var body = isLarge ? Large : Text;
        await using var node = await CompressingNode.AnsweringAsync(Framings[framing](body));
        using var client = await RawPeer.ConnectAsync(node.Node.Port);
        const string Request = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
        await client.SendAsync(Request + Request);

        for (var i = 0; i < 2; i++)
        {
            var head = await client.ReadHeadAsync();
            CompressingNode.BodyOf(head + await client.ReadUntilAsync("\r\n0\r\n\r\n")).Should().Be(body);
        }
    }

    [Test]
    public async Task Body_OverHttp2_ArrivesWholeWithTrailers([Values] bool isHttp2Client, [Values] bool hasLength)
    {
        var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                context.Response.ContentType = "application/json";
                context.Response.ContentLength = hasLength ? Large.Length : null;
                await context.Response.WriteAsync(Large[..100]);
                await context.Response.Body.FlushAsync();
                await context.Response.WriteAsync(Large[100..]);
                context.Response.AppendTrailer("x-sum", "1");
            },
            HttpProtocols.Http2);
        await using var node = await CompressingNode.StartAsync(
            backend, backend.Address, "{}", isHttp2Client ? "\"HttpVersion\": \"2\"," : "", "\"HttpVersion\": \"2\",");
        using var handler = new SocketsHttpHandler { AutomaticDecompression = DecompressionMethods.GZip };
        using var client = new HttpClient(handler)
        {
            DefaultRequestVersion = isHttp2Client ? HttpVersion.Version20 : HttpVersion.Version11,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        using var response = await client.GetAsync(new Uri($"http://127.0.0.1:{node.Node.Port}/"));

        response.Headers.Vary.Should().Equal("Accept-Encoding");
        (await response.Content.ReadAsStringAsync()).Should().Be(Large);
        response.TrailingHeaders.GetValues("x-sum").Should().Equal("1");
    }

    [Test]
    public async Task Body_ForHttp2BreaksOff_ClientSeesIt()
    {
        var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(ChunkedHead + Chunk(Text));
        });
        await using var node = await CompressingNode.StartAsync(backend, backend.Address, "{}", "\"HttpVersion\": \"2\",");
        using var client = new HttpClient
        {
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        client.DefaultRequestHeaders.Add("Accept-Encoding", "gzip");

        var asking = () => client.GetByteArrayAsync(new Uri($"http://127.0.0.1:{node.Node.Port}/"));

        await asking.Should().ThrowAsync<HttpRequestException>();
    }

    [Test]
    public async Task AccessLog_Compressed_HasTheBytesThatWereSent()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("access.log");
        string answer;
        await using (var node = await CompressingNode.AnsweringAsync(
            CompressingNode.Json(Large), listener: $"\"AccessLog\": \"{file}\","))
        {
            answer = await node.GetAsync(version: "1.0");
            await node.Node.StopAsync();
        }

        var sent = answer.Length - CompressingNode.HeadOf(answer).Length - 2;
        (await File.ReadAllTextAsync(file)).Should().Contain($" 200 {sent} ");
    }

    private static string Chunk(string data) => $"{data.Length:x}\r\n{data}\r\n";

    private static Task<CompressingNode> ServingOnceAsync(string response) => CompressingNode.ServingAsync(async peer =>
    {
        await peer.SendAsync(response);
        peer.EndSending();
    });
}
