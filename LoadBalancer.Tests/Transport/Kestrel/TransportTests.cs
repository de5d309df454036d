using System.Globalization;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>Whole requests under what is hard on the transport: size, number, pieces, and clients that do not read.</summary>
internal sealed class TransportTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [TestCase(true)]
    [TestCase(false)]
    public async Task Bodies_LargeBothWaysAtOnce_ArriveWhole(bool chunked)
    {
        await using var backend = new RawServer(async (peer, _) => await EchoAsync(peer));
        await using var node = await TestNode.StartAsync([backend.Address]);
        var bodies = Enumerable.Range(0, 4).Select(i => new byte[1024 * 1024 + i]).ToList();
        bodies.ForEach(Random.Shared.NextBytes);

        await Task.WhenAll(bodies.Select(async body =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new StreamContent(new MemoryStream(body)) };
            request.Headers.TransferEncodingChunked = chunked;
            using var response = await node.Client.SendAsync(request);
            (await response.Content.ReadAsByteArrayAsync()).AsSpan().SequenceEqual(body).Should().BeTrue();
        }));
    }

    [Test]
    public async Task Requests_ByteByByte_AreAnswered()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 3; i++)
        {
            await client.SendByteByByteAsync($"GET /{new string('a', 500)} HTTP/1.1\r\nHost: a\r\n\r\n");
            (await client.ReadResponseAsync()).Should().EndWith("ok");
        }
    }

    [Test]
    public async Task Requests_ManyPipelined_AreAllAnswered()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync(string.Concat(Enumerable.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1000)));

        for (var i = 0; i < 1000; i++)
        {
            (await client.ReadResponseAsync()).Should().EndWith("ok");
        }
    }

    [Test]
    public async Task Requests_AHundredConnectionsAtOnce_AreAllAnswered()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);

        await Task.WhenAll(Enumerable.Range(0, 100).Select(async _ =>
        {
            using var client = await node.ConnectAsync();
            for (var i = 0; i < 20; i++)
            {
                await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                (await client.ReadResponseAsync()).Should().EndWith("ok");
            }
        }));

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "all leases are given back");
    }

    [Test]
    public async Task Response_ClientReadsSlowly_HoldsTheBackend()
    {
        const long Megabyte = 1024 * 1024;
        const long Size = 32 * Megabyte;
        var sent = 0L;
        var piece = new string('x', (int)Megabyte);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Size}\r\n\r\n");
            for (var left = Size; left > 0; left -= Megabyte)
            {
                await peer.SendAsync(piece);
                Interlocked.Add(ref sent, Megabyte);
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        await client.ReadHeadAsync();

        var before = -1L;
        await Eventually.BeTrueAsync(
            async () =>
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
                return before == (before = Interlocked.Read(ref sent));
            },
            "the buffers fill up, and that is all");
        before.Should().BeLessThan(Size / 2);

        (await client.ReadToEndAsync()).Should().HaveLength((int)Size);
    }

    [Test]
    public async Task Stop_ConnectionsIdle_ClosesThem()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        var clients = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => node.ConnectAsync()));
        foreach (var client in clients.Skip(5)) // Five have never said a word.
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (await client.ReadResponseAsync()).Should().EndWith("ok");
        }

        await node.StopAsync();

        foreach (var client in clients)
        {
            (await client.ReadToEndAsync()).Should().BeEmpty();
            client.Dispose();
        }
    }

    // Answers with the body of the request, whole.
    private static async Task EchoAsync(RawPeer peer)
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            var body = "";
            if (head.Contains("chunked", StringComparison.OrdinalIgnoreCase))
            {
                while (await peer.ReadUntilAsync("\r\n") is { } line && line != "0\r\n")
                {
                    var size = int.Parse(line.AsSpan()[..^2], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                    body += (await peer.ReadAsync(size + 2))[..^2];
                }
                await peer.ReadUntilAsync("\r\n");
            }
            else
            {
                var field = head.Split("\r\n").Single(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
                body = await peer.ReadAsync(int.Parse(field[15..], CultureInfo.InvariantCulture));
            }
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        }
    }
}
