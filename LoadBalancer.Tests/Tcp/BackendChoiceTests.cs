using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tcp;

/// <summary>Which backend a connection comes to, and what a client is told where that is none.</summary>
internal sealed class BackendChoiceTests
{
    private const string Unavailable = "{\"response_code\":503,\"response_text\":\"No available backend\"}";

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Test]
    public async Task Backend_Refuses_TheNextUntriedOneIsTaken()
    {
        await using var backend = Naming("here");
        await using var node = await TcpNode.StartAsync([ReservedPorts.Next(), backend.Port]);

        for (var i = 0; i < 3; i++)
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync("x");
            (await client.ReadToItsEndAsync()).Should().Be(("here", false));
        }

        await node.QuietAsync();
        var refusing = node.Pool.Snapshot.Members[0];
        (refusing.Health.IsUp, refusing.Failures, node.Pool.Statistics.Retries)
            .Should().Be((false, 1, 1), "it is out until its ejection is over");
        await node.Log.SaysAsync("could not be connected to");
        node.Log.Lines.Should().ContainSingle(line => line.Contains("could not be connected to")).Which.Should()
            .Be("Warning: pool 'logic': backend 'b1' could not be connected to: connection refused");
    }

    [Test]
    public async Task Backend_OneAddressOfItsNameRefuses_AnotherServes()
    {
        await using var backend = Naming("here");
        await using var node = await TcpNode.StartAsync(
            [], pool => pool with
            {
                Backends = new Dictionary<string, BackendOptions>
                {
                    ["b1"] = new() { Address = new EndpointAddress("tcp", "app.invalid", backend.Port) },
                },
            });
        var member = node.Pool.Snapshot.Members[0];
        member.Hosts = new HostAddresses("app.invalid");
        member.Hosts.Set([System.Net.IPAddress.Parse("127.0.0.2"), System.Net.IPAddress.Loopback]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("x");

        (await client.ReadToItsEndAsync()).Should().Be(("here", false));

        (member.Health.IsUp, member.Failures).Should().Be((true, 0L));
    }

    [Test]
    public async Task Backend_DoesNotAnswerInTime_TheNextUntriedOneIsTaken()
    {
        var clock = new FakeTimeProvider();
        using var hole = new BlackHole();
        await using var backend = Naming("here");
        await using var node = await TcpNode.StartAsync([hole.Port, backend.Port], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("sent before anybody was connected to");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "it is tried");

        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(5 * Second);
                return backend.Accepted == 1;
            },
            "the other is tried");

        (await client.ReadToItsEndAsync()).Should().Be(("here", false));
        await node.Log.SaysAsync("Warning: pool 'logic': backend 'b1' could not be connected to: no connection within 5 s");
    }

    [TestCase("")]
    [TestCase("a question that nobody will read")]
    public async Task Backend_NoneAnswers_ClientIsToldWhole(string question)
    {
        await using var node =
            await TcpNode.StartAsync([ReservedPorts.Next(), ReservedPorts.Next()],
            listener: listener => listener with { UnavailableMessage = Unavailable });

        for (var i = 0; i < 10; i++) // the first after trying, the others because no backend is eligible
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync(question);
            (await client.ReadToItsEndAsync()).Should().Be((Unavailable, false));
        }

        await node.QuietAsync();
        node.Pool.Snapshot.Members.Sum(backend => backend.Failures).Should().Be(2, "each was tried once");
        node.Pool.Statistics.Connections.Ended(ConnectionEnd.Unavailable).Should().Be(10);
    }

    [Test]
    public async Task Backend_NoneAnswers_ClientThatSendsOnAndOnIsToldAndCut()
    {
        var clock = new FakeTimeProvider();
        await using var node =
            await TcpNode.StartAsync([ReservedPorts.Next()], listener: listener => listener with { UnavailableMessage = Unavailable },
            time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync(new string('x', 100_000));
        (await client.ReadAsync(Unavailable.Length)).Should().Be(Unavailable);

        node.Listener.Connections.Should().Be(1, "it may still be on its way");

        await node.QuietAfterAsync(clock, 2 * Second);
    }

    [Test]
    public async Task Backend_NoneAnswersAndNoMessage_IsClosed()
    {
        await using var node = await TcpNode.StartAsync([ReservedPorts.Next()]);
        using var client = await node.ConnectAsync();

        (await client.ReadToItsEndAsync()).Text.Should().BeEmpty();
        await node.QuietAsync();
    }

    [Test]
    public async Task MaxInFlight_EverybodyFull_WaitsForItsTurn()
    {
        await using var backend = RawServer.Echoing();
        await using var node =
            await TcpNode.StartAsync([backend.Port], pool => OneAtATime(pool) with { Queue = new() { Limit = 1 } },
            listener => listener with { UnavailableMessage = Unavailable });
        using var first = await node.ConnectAsync();
        await first.SendAsync("x");
        await first.ReadAsync(1);

        using var second = await node.ConnectAsync();
        await second.SendAsync("kept until then");
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "it waits");
        using var third = await node.ConnectAsync();
        (await third.ReadToItsEndAsync()).Should().Be((Unavailable, false), "one may wait");
        first.EndSending();

        (await second.ReadAsync(15)).Should().Be("kept until then");
        node.Pool.Statistics.QueueRefusals.Should().Be(1);
    }

    [Test]
    public async Task Queue_WaitsForTooLong_IsRefused()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync(
            [backend.Port], pool => OneAtATime(pool) with { Queue = new() { Limit = 1 } },
                listener => listener with { UnavailableMessage = Unavailable }, clock);
        using var first = await node.ConnectAsync();
        await first.SendAsync("x");
        await first.ReadAsync(1);
        using var second = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "it waits");

        clock.Advance(5 * Second);

        (await second.ReadToItsEndAsync()).Should().Be((Unavailable, false));
        node.Pool.RequestQueue.Count.Should().Be(0);
    }

    [Test]
    public async Task Queue_ClientResets_FreesItsPlace()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Echoing();
        await using var node =
            await TcpNode.StartAsync([backend.Port],
            pool => OneAtATime(pool) with { Queue = new() { Limit = 1, Timeout = TimeSpan.FromDays(1) } }, time: clock);
        using var first = await node.ConnectAsync();
        await first.SendAsync("x");
        await first.ReadAsync(1);
        using var second = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "it waits");

        second.Reset();

        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(Second);
                return node.Pool.RequestQueue.Count == 0;
            },
            "it is noticed");
        node.Ended(ConnectionEnd.ClientReset).Should().Be(1);
    }

    [Test]
    public async Task Connecting_ClientResets_EndsWithoutBlame()
    {
        var clock = new FakeTimeProvider();
        using var hole = new BlackHole();
        await using var node =
            await TcpNode.StartAsync([hole.Port], pool => pool with { Timeouts = new() { Connect = TimeSpan.FromDays(1) } }, time: clock);
        using var client = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "it is tried");

        client.Reset();

        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(Second);
                return node.Pool.Snapshot.Members[0].InFlight == 0;
            },
            "it is noticed");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Connecting_ClientEndsItsHalf_IsServedAllTheSame()
    {
        await using var backend = new RawServer(async (peer, _) => await peer.SendAsync("echo: " + (await peer.ReadToItsEndAsync()).Text));
        await using var node = await TcpNode.StartAsync([ReservedPorts.Next(), backend.Port]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("all");
        client.EndSending();

        (await client.ReadToItsEndAsync()).Should().Be(("echo: all", false));
    }

    [Test]
    public async Task FirstProbe_StillUnderWay_IsWaitedFor()
    {
        var answers = new TaskCompletionSource();
        await using var probed = new RawServer(async (peer, _) =>
        {
            await answers.Task;
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            await peer.ReadToEndAsync();
        });
        await using var node = await TcpNode.StartAsync([probed.Port], pool => pool with
        {
            HealthCheck = new() { Type = ProbeType.Http },
            Backends = new Dictionary<string, BackendOptions>
            {
                ["b1"] =
                new() { Address = new EndpointAddress("http", "127.0.0.1", probed.Port) }
            },
        });
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\n\r\n");
        node.Listener.Connections.Should().BeLessThanOrEqualTo(1);

        answers.SetResult();

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task Policy_LeastConnections_CountsConnectionsThatAreOpen()
    {
        await using var first = RawServer.Echoing();
        await using var second = RawServer.Echoing();
        await using var node =
            await TcpNode.StartAsync([first.Port, second.Port], pool => pool with { Policy = PolicyName.LeastConnections });
        var clients = new List<RawPeer>();
        for (var i = 0; i < 10; i++)
        {
            clients.Add(await node.ConnectAsync());
            await clients[i].SendAsync("x");
            await clients[i].ReadAsync(1);
        }

        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.InFlight == 5);

        clients.ForEach(client => client.Dispose());
        await node.QuietAsync();
    }

    [Test]
    public async Task AdminState_Draining_KeepsWhatIsOpenAndGetsNothingNew()
    {
        await using var first = RawServer.Echoing();
        await using var second = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([first.Port, second.Port], pool => pool with { Policy = PolicyName.First });
        using var before = await node.ConnectAsync();
        await before.SendAsync("x");
        await before.ReadAsync(1);

        node.Pool.Change(() => node.Pool.Snapshot.Members[0].AdminState = AdminState.Draining);
        using var after = await node.ConnectAsync();
        await after.SendAsync("x");
        await after.ReadAsync(1);

        await before.SendAsync("still");
        (await before.ReadAsync(5)).Should().Be("still");
        (first.Accepted, second.Accepted).Should().Be((1, 1));
    }

    [Test]
    public async Task PassiveHealth_ResetsInARow_EjectTheBackend()
    {
        await using var faulty = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("hello");
            peer.Reset();
        });
        await using var well = new RawServer((peer, _) => peer.SendAsync("hello"));
        await using var node = await TcpNode.StartAsync([faulty.Port, well.Port]);

        for (var i = 0; i < 6; i++)
        {
            try
            {
                using var client = await node.ConnectAsync();
                await client.ReadToItsEndAsync();
            }
            catch (System.Net.Sockets.SocketException)
            {
                // The reset came before the connect had returned.
            }
        }

        await node.QuietAsync();
        node.Pool.Snapshot.Members.Select(backend => backend.Health.IsUp).Should().Equal(false, true);
    }

    private static RawServer Naming(string name) => new(async (peer, _) =>
    {
        await peer.ReadSomeAsync();
        await peer.SendAsync(name);
    });

    private static PoolOptions OneAtATime(PoolOptions pool) =>
        pool with { Backends = pool.Backends.ToDictionary(entry => entry.Key, entry => entry.Value with { MaxInFlight = 1 }) };
}
