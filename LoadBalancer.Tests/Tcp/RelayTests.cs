using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tcp;

/// <summary>What passes between a client and its backend, and how it ends.</summary>
internal sealed class RelayTests
{
    private const int Mega = 1024 * 1024;

    [Test]
    public async Task Bytes_EveryValueAndAnyLength_PassUnchangedBothWays()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        var text = string.Concat(Enumerable.Range(0, 8 * Mega).Select(i => (char)((i * 31 + i / 251) % 256)));

        var sending = client.SendAsync(text);
        (await client.ReadAsync(text.Length)).Should().Be(text);

        await sending;
        client.EndSending();
        (await client.ReadToItsEndAsync()).Should().Be(("", false));
        await node.QuietAsync();
        var statistics = node.Pool.Snapshot.Members[0].Connections;
        (statistics.BytesIn, statistics.BytesOut, statistics.Ended(ConnectionEnd.Completed)).Should().Be((text.Length, text.Length, 1));
    }

    [Test]
    public async Task Bytes_OneAtATime_PassOneAtATime()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();

        foreach (var c in "a message without an end")
        {
            await client.SendAsync(c.ToString());
            (await client.ReadAsync(1)).Should().Be(c.ToString());
        }
    }

    [Test]
    public async Task Backend_SpeaksFirst_IsHeard()
    {
        await using var backend = new RawServer((peer, _) => peer.SendAsync("220 ready\r\n"));
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();

        (await client.ReadToItsEndAsync()).Should().Be(("220 ready\r\n", false));
    }

    [Test]
    public async Task Client_EndsItsHalf_GetsTheRestOfTheOther()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            var (text, isReset) = await peer.ReadToItsEndAsync();
            await peer.SendAsync(isReset ? "reset" : "I have read: " + text);
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();

        await client.SendAsync("all I have");
        client.EndSending();

        (await client.ReadToItsEndAsync()).Should().Be(("I have read: all I have", false));
        await node.QuietAsync();
    }

    [Test]
    public async Task Backend_EndsItsHalf_GetsTheRestOfTheOther()
    {
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("goodbye");
            peer.EndSending();
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();

        (await client.ReadToItsEndAsync()).Should().Be(("goodbye", false));
        node.Listener.Connections.Should().Be(1, "the other half is open");
        await client.SendAsync("one more thing");
        client.EndSending();

        (await heard.Task).Should().Be(("one more thing", false));
        await node.QuietAsync();
        node.Ended(ConnectionEnd.Completed).Should().Be(1);
    }

    [TestCase(0)]
    [TestCase(100_000)]
    public async Task Client_Resets_IsAResetForTheBackendAfterWhatWasSent(int length)
    {
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("hello");
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        await client.ReadAsync(5);

        var text = new string('x', length);
        await client.SendAsync(text);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Connections.BytesIn == length, "it has all come");
        client.Reset();

        (await heard.Task).Should().Be((text, true));
        await node.QuietAsync();
        node.Ended(ConnectionEnd.ClientReset).Should().Be(1);
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0, "it was the client");
    }

    [Test]
    public async Task Backend_Resets_IsAResetForTheClient()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadAsync(5);
            await peer.SendAsync("half an ans");
            await peer.ReadAsync(2);
            peer.Reset();
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("hello");
        (await client.ReadAsync(11)).Should().Be("half an ans");

        await client.SendAsync("ok");

        (await client.ReadToItsEndAsync()).IsReset.Should().BeTrue();
        await node.QuietAsync();
        node.Ended(ConnectionEnd.BackendReset).Should().Be(1);
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0, "what the client has sent may be the cause");
        await node.Log.SaysAsync("Warning: pool 'logic': backend 'b1' broke off a connection: connection reset");
    }

    [Test]
    public async Task Backend_ClosesWhileTheClientGoesOn_IsNobodysFault()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadAsync(5);
            await peer.SendAsync("bye");
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("hello");
        (await client.ReadToItsEndAsync()).Should().Be(("bye", false));

        await Eventually.BeTrueAsync(
            async () =>
            {
                try
                {
                    await client.SendAsync("still here");
                    return false;
                }
                catch (System.Net.Sockets.SocketException)
                {
                    return true;
                }
            },
            "the connection is closed");

        await node.QuietAsync();
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Client_NeverReads_HoldsTheBackendBack()
    {
        var sent = 0L;
        await using var backend = new RawServer(async (peer, _) =>
        {
            var piece = new string('x', 64 * 1024);
            while (true)
            {
                await peer.SendAsync(piece);
                Interlocked.Add(ref sent, piece.Length);
            }
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();

        (await StandstillAsync(() => Interlocked.Read(ref sent)))
            .Should().BeLessThan(32 * Mega, "what the system's buffers hold, and no more");
        (await client.ReadAsync(Mega)).Should().HaveLength(Mega);
        client.Reset();
        await node.QuietAsync();
    }

    [Test]
    public async Task Connections_HundredAtOnce_EachGetsItsOwn()
    {
        await using var first = RawServer.Echoing();
        await using var second = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([first.Port, second.Port]);

        await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            using var client = await node.ConnectAsync();
            var text = new string((char)('!' + i % 90), 1000 + i * 100);
            await client.SendAsync(text);
            (await client.ReadAsync(text.Length)).Should().Be(text);
            client.EndSending();
            (await client.ReadToItsEndAsync()).Should().Be(("", false));
        }));

        await node.QuietAsync();
        (first.Accepted, second.Accepted).Should().Be((50, 50), "they are taken in turn");
    }

    [Test]
    public async Task IdleTimeout_NothingMoves_EndsInGoodOrder()
    {
        var clock = new FakeTimeProvider();
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync(await peer.ReadAsync(1));
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        await using var node =
            await TcpNode.StartAsync([backend.Port], listener: listener => listener with { IdleTimeout = TimeSpan.FromSeconds(10) },
            time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("x");
        await client.ReadAsync(1);

        for (var i = 0; i < 9; i++)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
        }
        await client.SendAsync("y"); // It counts from here.
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Connections.BytesIn == 2, "it has come");
        for (var i = 0; i < 9; i++)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
        }
        node.Listener.Connections.Should().Be(1);
        clock.Advance(TimeSpan.FromSeconds(2));

        (await client.ReadToItsEndAsync()).Should().Be(("", false));
        (await heard.Task).Should().Be(("y", false));
        await node.QuietAsync();
        node.Ended(ConnectionEnd.IdleTimeout).Should().Be(1);
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task IdleTimeout_ClientTakesALittleNowAndThen_IsNotCut()
    {
        var clock = new FakeTimeProvider();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync(new string('x', 16 * Mega));
            await peer.ReadSomeAsync();
        });
        await using var node =
            await TcpNode.StartAsync([backend.Port], listener: listener => listener with { IdleTimeout = TimeSpan.FromSeconds(3) },
            time: clock);
        using var client = await RawPeer.ConnectAsync(node.Port, receiveBuffer: 64 * 1024);

        for (var i = 0; i < 10; i++)
        {
            // Many times what its system takes in ahead: so the relay's system has seen acknowledgements of this before time passes.
            (await client.ReadAsync(Mega)).Should().HaveLength(Mega);
            clock.Advance(TimeSpan.FromSeconds(1));
            clock.Advance(TimeSpan.FromSeconds(1));
        }

        node.Listener.Connections.Should().Be(1);
    }

    [Test]
    public async Task IdleTimeout_ClientNeverReads_IsReset()
    {
        var clock = new FakeTimeProvider();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync(new string('x', 64 * Mega));
        });
        await using var node =
            await TcpNode.StartAsync([backend.Port], listener: listener => listener with { IdleTimeout = TimeSpan.FromSeconds(3) },
            time: clock);
        using var client = await node.ConnectAsync();
        await StandstillAsync(() => node.Pool.Snapshot.Members[0].Connections.BytesOut);

        await node.QuietAfterAsync(clock, TimeSpan.FromSeconds(1));

        (await client.ReadToItsEndAsync()).IsReset.Should().BeTrue();
    }

    [Test]
    public async Task ClientResets_BackendNeverReads_DoesNotWaitForTheIdleTimeout()
    {
        var clock = new FakeTimeProvider();
        await using var backend = new RawServer((_, _) => Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System));
        await using var node = await TcpNode.StartAsync([backend.Port], time: clock);
        using var client = await node.ConnectAsync();
        var sending = client.SendAsync(new string('x', 64 * Mega));
        await StandstillAsync(() => node.Pool.Snapshot.Members[0].Connections.BytesIn);

        client.Reset();

        await node.QuietAfterAsync(clock, TimeSpan.FromSeconds(1));
        await FluentActions.Awaiting(() => sending).Should().ThrowAsync<Exception>();
        node.Ended(ConnectionEnd.ClientReset).Should().Be(1);
    }

    /// <summary>Waits until a number that grows does not grow any more.</summary>
    private static async Task<long> StandstillAsync(Func<long> read)
    {
        var last = 0L;
        await Eventually.BeTrueAsync(
            async () =>
            {
                last = read();
                await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System);
                return last > 0 && last == read();
            },
            "it is held back");
        return last;
    }
}
