using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>Connections that Kestrel does not know of while they are idle. Clients must not notice.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
internal sealed class ParkingTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Long = TimeSpan.FromDays(20);

    private readonly FakeTimeProvider _clock = new();

    [Test]
    public async Task Parked_RequestComes_IsServed()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 5; i++)
        {
            await ParkAsync(node); // the first time without ever having sent anything
            await ExchangeAsync(client);
        }
        await ParkAsync(node);
        await client.SendByteByByteAsync(Get);
        (await client.ReadResponseAsync()).Should().EndWith("ok");
    }

    [Test]
    public async Task Parked_KeepAliveTimeout_CountsOn()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener with { KeepAliveTimeout = TimeSpan.FromSeconds(60) });
        using var client = await node.ConnectAsync();
        await ParkAsync(node);
        await ExchangeAsync(client);
        await ParkAsync(node);

        _clock.Advance(TimeSpan.FromSeconds(50));
        Sockets(node).Should().ContainSingle().Which.IsParked.Should().BeTrue();
        _clock.Advance(TimeSpan.FromSeconds(12));

        (await client.ReadToEndAsync()).Should().BeEmpty();
        Sockets(node).Should().BeEmpty();
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Parked_ClientGoes_IsForgotten(bool reset)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener with { MaxConnections = 1 });
        using var client = await node.ConnectAsync();
        await ParkAsync(node);

        if (reset)
        {
            client.Reset();
        }
        else
        {
            client.EndSending();
            (await client.ReadToEndAsync()).Should().BeEmpty();
        }

        await Eventually.BeTrueAsync(() => Sockets(node).Length == 0, "its socket is closed");
        using var next = await node.ConnectAsync();
        await ExchangeAsync(next);
    }

    [Test]
    public async Task Parked_NodeStops_IsClosedAtOnce()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await ExchangeAsync(client);
        await ParkAsync(node);

        // Without a deadline: it ends because there is nothing to wait for.
        await node.StopAsync();

        (await client.ReadToEndAsync()).Should().BeEmpty();
    }

    [Test]
    public async Task Parked_MaxConnections_CountsIt()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener with { MaxConnections = 1 });
        using var client = await node.ConnectAsync();
        await ExchangeAsync(client);
        await ParkAsync(node);

        using var surplus = await node.ConnectAsync();

        (await surplus.ReadToEndAsync()).Should().BeEmpty();
        await ExchangeAsync(client);
        node.Listener.Refused.Should().Be(1);
    }

    [TestCase("GET / HT")]
    [TestCase("GET / HTTP/1.1\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\n")]
    public async Task HalfAHead_TimePasses_IsNotParked(string half)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync(Get + half);
            (await client.ReadResponseAsync()).Should().EndWith("ok");
            await ExpectNotParkedAsync(node);
            await client.SendAsync(Get[half.Length..]);
            (await client.ReadResponseAsync()).Should().EndWith("ok");
        }
    }

    [Test]
    public async Task Answer_LongInComing_IsNotParked()
    {
        var (received, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            received.SetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync(Get);
        await received.Task;

        await ExpectNotParkedAsync(node);
        answer.SetResult();

        (await client.ReadResponseAsync()).Should().EndWith("ok");
        await ParkAsync(node);
    }

    // The worst that could happen: what is left of a body, taken for the next request.
    [TestCase("Content-Length: 26\r\n\r\n")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n")]
    [TestCase("Content-Length: 26\r\nExpect: 100-continue\r\n\r\n")]
    public async Task BodyUnread_TimePasses_IsNotParked(string fields)
    {
        const string Body = "GET /evil HTTP/1.1\r\nA: b\r\n\r\n";
        var targets = new ConcurrentQueue<string>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            targets.Enqueue((await peer.ReadHeadAsync())!.Split(' ')[1]);
            await peer.SendAsync(Ok); // and closes
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync($"POST /good HTTP/1.1\r\nHost: a\r\n{fields}");
        (await client.ReadResponseAsync()).Should().EndWith("ok");

        await ExpectNotParkedAsync(node);
        try
        {
            await client.SendAsync(Body + "GET /good HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            await client.ReadToEndAsync();
        }
        catch (SocketException)
        {
            // It was closed.
        }

        targets.Should().AllBe("/good");
    }

    [Test]
    public async Task Tunnel_NothingMoves_IsNotParked()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
            await peer.SendAsync("echo " + await peer.ReadUntilAsync("\n"));
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");

        await ExpectNotParkedAsync(node);
        await client.SendAsync("still there?\n");

        (await client.ReadUntilAsync("\n")).Should().Be("echo still there?\n");
    }

    [Test]
    public async Task Http2_Idle_IsNotParked()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener with { HttpVersion = HttpVersion.Version20 });
        using var request = new HttpRequestMessage(
            HttpMethod.Get, "/")
        { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        (await node.Client.SendAsync(request)).StatusCode.Should().Be(HttpStatusCode.OK);

        await ExpectNotParkedAsync(node);
    }

    [Test]
    public async Task Requests_WhileConnectionsAreParkedAllTheTime_AreAllServed()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(
            backend,
            listener => listener with { KeepAliveTimeout = Long },
            pool => pool with { Timeouts = new() { Connect = Long, Response = Long, Idle = Long } });

        var served = 0;
        var clients = Task.WhenAll(Enumerable.Range(0, 16).Select(async seed =>
        {
            var random = new Random(seed);
            using var client = await node.ConnectAsync();
            for (var i = 0; i < 100; i++)
            {
                for (var pause = random.Next(30); pause > 0; pause--)
                {
                    await Task.Yield();
                }
                await ExchangeAsync(client);
                Interlocked.Increment(ref served);
            }
        }));
        // At most a minute for each request that was served: on a slow machine no request may reach its time-out.
        for (var seconds = 0; !clients.IsCompleted; await Task.Yield())
        {
            if (seconds < 60 * (1 + Volatile.Read(ref served)))
            {
                _clock.Advance(Second);
                seconds++;
            }
        }

        await clients;
    }

    [OneTimeSetUp]
    public static void NeedEventLoops() => Assume.That(TransportChoice.IsEpoll, "connections are parked on event loops only");

    private Task<TestNode> StartAsync(
        RawServer backend, Func<HttpListenerOptions, HttpListenerOptions>? listener = null, Func<PoolOptions, PoolOptions>? pool = null) =>
        TestNode.StartAsync([backend.Address], pool, listener, _clock);

    private static async Task ExchangeAsync(RawPeer client)
    {
        await client.SendAsync(Get);
        (await client.ReadResponseAsync()).Should().EndWith("ok");
    }

    private async Task ParkAsync(TestNode node) => await Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(Second);
            return Sockets(node) is [{ IsParked: true }];
        },
        "it is idle");

    // Long enough for one that may be parked.
    private async Task ExpectNotParkedAsync(TestNode node)
    {
        for (var i = 0; i < 30; i++)
        {
            _clock.Advance(Second);
            await Task.Yield();
        }
        Sockets(node).Should().ContainSingle().Which.IsParked.Should().BeFalse();
    }

    private static ClientSocket[] Sockets(TestNode node) =>
        [.. EventLoop.Sockets.OfType<ClientSocket>().Where(socket => socket.Local is IPEndPoint local && local.Port == node.Port)];
}
