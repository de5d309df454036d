using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Backends that send random frames, and mutations of valid ones: no request hangs, and nothing is left.</summary>
internal sealed class Http2FuzzTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace
    private const int Conversations = 40;

    private static readonly string[] Valid =
    [
        Frame(Settings, 0, 0, SettingsOf((3, 100), (4, 65_535), (5, 16_384))),
        Frame(Settings, Ack, 0),
        Frame(Ping, 0, 0, "12345678"),
        Frame(WindowUpdate, 0, 0, Number(1_000)),
        Frame(WindowUpdate, 0, 1, Number(1_000)),
        Http2ServerPeer.Head(1, 103, false, ("link", "</a>")),
        Http2ServerPeer.Head(1, 200, false, ("content-length", "10"), ("x-a", "b")),
        Frame(Headers, 0, 1, Encode((":status", "200"))) + Frame(Continuation, EndHeaders, 1, Encode(("x-a", "b"))),
        Frame(Headers, EndHeaders, 1, "\u0088\u0040" + HpackText.String("x-kept") + HpackText.String("1") + "\u00be"),
        Frame(Data, 0, 1, "hello"),
        Frame(Data, Padded, 1, "\u0003hello123"),
        Frame(Data, EndStream, 1, "world"),
        Frame(Headers, EndHeaders | EndStream, 1, Encode(("x-sum", "1"))),
        Frame(RstStream, 0, 1, Number(7)),
        Frame(RstStream, 0, 1, Number(0)),
        Frame(GoAway, 0, 0, Number(1) + Number(0)),
        Frame(GoAway, 0, 0, Number(0) + Number(11) + "debug"),
        Frame(Priority, 0, 1, Number(0) + "\u0010"),
        Frame(PushPromise, EndHeaders, 1, Number(2) + Encode((":path", "/"))),
    ];

    [Test]
    public async Task Backend_WithRandomFrames_HangsNothingAndLeavesNothing([Range(1, 8)] int seed)
    {
        await using var backend = new RawServer(async (raw, number) =>
        {
            using var peer = new Http2ServerPeer(raw);
            var random = new Random(seed * 1_000 + number);
            await peer.BeginAsync(random.Next(8) > 0 ? "" : null);
            _ = SendAsync();
            await peer.ReadToEndAsync();

            async Task SendAsync()
            {
                for (var i = 0; i < 20; i++)
                {
                    try
                    {
                        await peer.SendTextAsync(Next(random));
                    }
                    catch (Exception e) when (e is System.Net.Sockets.SocketException or ObjectDisposedException)
                    {
                        return; // Closed by the node.
                    }
                    await Task.Yield();
                }
                raw.EndSending(); // Otherwise an answer that is missing would be waited for.
            }
        });
        await using var node = await StartAsync([backend.Address]);

        var exchanges = Enumerable.Range(0, Conversations).Select(async i =>
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync(i % 2 == 0 ? Get : Post(i * 5_000));
            return await client.ReadToEndAsync();
        });
        var answers = await Task.WhenAll(exchanges);

        answers.Should().AllSatisfy(answer => answer.Should().MatchRegex("^HTTP/1.1 (200|502|503) "));
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "every lease is given back");
        await Eventually.BeTrueAsync(() => backend.Open == 0, "every connection is closed");
    }

    // A valid answer, with one byte of it changed, left out, or doubled.
    [Test]
    public async Task Backend_WithOneByteChanged_HangsNothingAndLeavesNothing([Range(1, 4)] int seed)
    {
        var whole = Frame(Settings, 0, 0, SettingsOf((3, 100)))
            + Http2ServerPeer.Head(1, 200, false, ("content-length", "10"), ("x-a", "b"))
            + Frame(Data, 0, 1, "hello") + Frame(Data, EndStream, 1, "world");
        await using var backend = new RawServer(async (raw, number) =>
        {
            using var peer = new Http2ServerPeer(raw);
            var random = new Random(seed * 1_000 + number);
            await peer.BeginAsync(null);
            var at = random.Next(whole.Length);
            var text = random.Next(3) switch
            {
                0 => whole[..at] + (char)random.Next(256) + whole[(at + 1)..],
                1 => whole[..at] + whole[(at + 1)..],
                _ => whole[..at] + whole[at] + whole[at..],
            };
            await peer.ReadRequestAsync();
            await peer.SendTextAsync(text);
            raw.EndSending();
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync([backend.Address]);

        for (var i = 0; i < Conversations; i++)
        {
            (await node.ExchangeAsync(i % 2 == 0 ? Get : Post(10))).Should().MatchRegex("^HTTP/1.1 [1-9][0-9][0-9] ");
        }

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "every lease is given back");
        await Eventually.BeTrueAsync(() => backend.Open == 0, "every connection is closed");
    }

    private static string Next(Random random)
    {
        var text = Valid[random.Next(Valid.Length)];
        switch (random.Next(8))
        {
            case 0: // noise
                return Frame((byte)random.Next(12), (byte)random.Next(256), random.Next(4), Noise(random, random.Next(40)));
            case 1: // another stream
                return text[..8] + (char)random.Next(8) + text[9..];
            case 2: // other flags
                return text[..4] + (char)random.Next(256) + text[5..];
            case 3: // one byte
                var at = random.Next(text.Length);
                return text[..at] + (char)random.Next(256) + text[(at + 1)..];
            case 4: // cut off
                return text[..random.Next(text.Length)];
            default:
                return text;
        }
    }

    private static string Noise(Random random, int length) =>
        string.Concat(Enumerable.Range(0, length).Select(_ => (char)random.Next(256)));
}
