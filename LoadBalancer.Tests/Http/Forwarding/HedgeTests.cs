using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>A second attempt beside one that takes long.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HedgeTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly HedgeOptions After200Ms = new() { After = new HedgeAfter(TimeSpan.FromMilliseconds(200), 0) };

    private readonly FakeClock _clock = new();

    [Test]
    public async Task Get_FirstBackendSilent_IsAnsweredByTheSecondAndTheFirstIsBrokenOff()
    {
        var (arrived, brokenOff) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = Silent(arrived, brokenOff);
        await using var fast = RawServer.Answering(Ok);
        await using var node = await StartAsync([slow.Address, fast.Address]);

        var get = node.Client.GetStringAsync("/");
        await arrived.Task;
        await AdvanceAsync(199);
        fast.Accepted.Should().Be(0);
        _clock.Advance(TimeSpan.FromMilliseconds(1));

        (await get).Should().Be("ok");
        await brokenOff.Task;
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(backend => backend.InFlight == 0), "both leases are given back");
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.Failures == 0 && backend.Health.IsUp, "slow is no failure");
        node.Pool.Snapshot.Members[0].ResponseTime.Seconds.Should().BeApproximately(0.2, 0.001, "it took at least that long");
    }

    [Test]
    public async Task Get_FirstAnswersInTime_AsksNobodyElse()
    {
        await using var one = RawServer.Answering(Ok);
        await using var two = RawServer.Answering(Ok);
        await using var node = await StartAsync([one.Address, two.Address]);

        await node.Client.GetStringAsync("/");
        _clock.Advance(TimeSpan.FromSeconds(1));

        (one.Accepted, two.Accepted).Should().Be((1, 0));
    }

    [Test]
    public async Task Get_FirstAnswersBeforeTheSecond_ItsAnswerCounts()
    {
        var (arrived, secondArrived, brokenOff) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        var answer = new TaskCompletionSource();
        await using var slow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.TrySetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var slower = Silent(secondArrived, brokenOff);
        await using var node = await StartAsync([slow.Address, slower.Address]);

        var get = node.Client.GetStringAsync("/");
        await arrived.Task;
        await AdvanceAsync(200);
        await secondArrived.Task;
        answer.SetResult();

        (await get).Should().Be("ok");
        await brokenOff.Task;
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(backend => backend.InFlight == 0), "both leases are given back");
    }

    [Test]
    public async Task Get_FirstDiesAfterTheSecondWasAsked_TheSecondAnswers()
    {
        var (arrived, secondArrived) = (new TaskCompletionSource(), new TaskCompletionSource());
        var (die, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var dying = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.TrySetResult();
            await die.Task;
        });
        await using var slow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            secondArrived.TrySetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync([dying.Address, slow.Address]);

        var get = node.Client.GetStringAsync("/");
        await arrived.Task;
        await AdvanceAsync(200);
        await secondArrived.Task;
        die.SetResult();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Failures == 1, "the first is seen to fail");
        answer.SetResult();

        (await get).Should().Be("ok");
    }

    [Test]
    public async Task Get_BothDie_IsTriedAtAThird()
    {
        var (arrived, secondArrived, die) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        await using var one = Dying(arrived, die);
        await using var two = Dying(secondArrived, die);
        await using var three = RawServer.Answering(Ok);
        await using var node = await StartAsync([one.Address, two.Address, three.Address]);

        var get = node.Client.GetStringAsync("/");
        await arrived.Task;
        await AdvanceAsync(200);
        await secondArrived.Task;
        die.SetResult();

        (await get).Should().Be("ok");
        node.Pool.Snapshot.Members.Select(backend => (backend.Requests, backend.InFlight)).Should().Equal((1, 0), (1, 0), (1, 0));
    }

    [TestCase("POST", "")]
    [TestCase("DELETE", "")]
    [TestCase("GET", "body")]
    public async Task Request_NotSafeOrWithABody_IsNeverHedged(string method, string body)
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.TrySetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var other = RawServer.Answering(Ok);
        await using var node = await StartAsync([slow.Address, other.Address]);
        using var request = new HttpRequestMessage(new HttpMethod(method), "/");
        request.Content = body.Length > 0 ? new StringContent(body) : null;

        var send = node.Client.SendAsync(request);
        await arrived.Task;
        _clock.Advance(TimeSpan.FromSeconds(1));
        answer.SetResult();

        (await send).StatusCode.Should().Be(HttpStatusCode.OK);
        other.Accepted.Should().Be(0);
    }

    [Test]
    public async Task Get_BudgetSpent_IsNotHedged()
    {
        var arrived = new SemaphoreSlim(0);
        var answer = new TaskCompletionSource();
        Func<RawPeer, int, Task> serve = async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                arrived.Release();
                await answer.Task;
                await peer.SendAsync(Ok);
            }
        };
        await using var one = new RawServer(serve);
        await using var two = new RawServer(serve);
        await using var node = await StartAsync([one.Address, two.Address]);

        var gets = Enumerable.Range(0, 30).Select(_ => node.Client.GetStringAsync("/")).ToList();
        for (var i = 0; i < 30; i++)
        {
            await arrived.WaitAsync();
        }
        await Eventually.BeTrueAsync(() => _clock.TimersWithin(TimeSpan.FromMilliseconds(200)) == 30, "all of them wait");
        await AdvanceAsync(200);
        for (var i = 0; i < 10; i++)
        {
            await arrived.WaitAsync();
        }
        await Eventually.BeTrueAsync(
            () => node.Pool.Snapshot.Members.Sum(backend => backend.InFlight) == 40,
            "ten are hedged, and the leases of the others given back");
        answer.SetResult();

        (await Task.WhenAll(gets)).Should().OnlyContain(text => text == "ok");
        node.Pool.Snapshot.Members.Sum(backend => backend.Requests).Should().BeGreaterThanOrEqualTo(40);
        arrived.CurrentCount.Should().Be(0, "no hedge request was sent beyond the budget");
    }

    [Test]
    public async Task Get_ClientLeavesWhileBothAreAsked_BreaksBothOff()
    {
        var (arrived, brokenOff) = (new TaskCompletionSource(), new TaskCompletionSource());
        var (secondArrived, secondBrokenOff) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var one = Silent(arrived, brokenOff);
        await using var two = Silent(secondArrived, secondBrokenOff);
        await using var node = await StartAsync([one.Address, two.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await arrived.Task;
        await AdvanceAsync(200);
        await secondArrived.Task;

        client.Reset();

        await Task.WhenAll(brokenOff.Task, secondBrokenOff.Task);
        await Eventually.BeTrueAsync(
            () => node.Pool.Snapshot.Members.All(backend => backend is { InFlight: 0, Failures: 0 }), "both leases are given back");
    }

    [Test]
    public async Task Get_AfterPercentile_IsHedgedOnceEnoughIsKnown()
    {
        var silent = false;
        var arrived = new TaskCompletionSource();
        Func<RawPeer, int, Task> serve = async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                if (silent)
                {
                    silent = false;
                    arrived.SetResult();
                    await peer.ReadToEndAsync();
                    return;
                }
                _clock.Advance(TimeSpan.FromMilliseconds(10)); // Every answer takes ten milliseconds.
                await peer.SendAsync(Ok);
            }
        };
        await using var one = new RawServer(serve);
        await using var two = new RawServer(serve);
        await using var node = await StartAsync([one.Address, two.Address], new HedgeOptions());
        for (var i = 0; i < 50; i++)
        {
            await node.Client.GetStringAsync("/");
        }
        _clock.Advance(TimeSpan.FromMilliseconds(500)); // The percentile is worked out anew.
        silent = true;

        var get = node.Client.GetStringAsync("/");
        await arrived.Task;
        await AdvanceAsync(11);

        (await get).Should().Be("ok");
    }

    [Test]
    public async Task Get_IpHashPool_SecondBackendIsTheOneThatTheClientsHashNamesNext()
    {
        var arrived = new SemaphoreSlim(0);
        var servers = Enumerable.Range(0, 4).Select(_ => new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.Release();
            await peer.ReadToEndAsync();
        })).ToList();
        await using var node = await TestNode.StartAsync(
            servers.Select(server => server.Address),
            pool => pool with { Policy = PolicyName.IpHash, Hedge = After200Ms },
            listener => listener with { TrustedProxies = [IPNetwork.Parse("127.0.0.1/32")] },
            _clock);
        List<(string First, string Second)> asked = [], expected = [];
        for (var client = 1; client <= 8; client++) // The retry budget always has ten.
        {
            var hash = ClientHash.Of(IPAddress.Parse($"10.0.0.{client}"));
            expected.Add(ChoicesOf(node.Pool, hash));
            using var peer = await node.ConnectAsync();
            await peer.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.{client}\r\n\r\n");
            await arrived.WaitAsync();
            var first = node.Pool.Snapshot.Members.Single(backend => backend.InFlight == 1);
            await Eventually.BeTrueAsync(
                () =>
                {
                    _clock.Advance(TimeSpan.FromMilliseconds(20)); // In steps: the request may not wait yet, and other timers are due too.
                    return arrived.CurrentCount > 0;
                },
                "the second backend is asked");
            await arrived.WaitAsync();
            var second = node.Pool.Snapshot.Members.Single(backend => backend.InFlight == 1 && backend != first);
            asked.Add((first.Name, second.Name));
            peer.Reset();
            await Eventually.BeTrueAsync(
                () => node.Pool.Snapshot.Members.All(backend => backend.InFlight == 0), "both leases are given back");
        }

        asked.Should().Equal(expected);
        asked.Select(pair => pair.Second).Distinct().Should().HaveCountGreaterThan(2, "different clients have different second choices");
        foreach (var server in servers)
        {
            await server.DisposeAsync();
        }
    }

    private static (string First, string Second) ChoicesOf(BackendPool pool, ulong hash)
    {
        pool.TryAcquire(new SelectionContext(null, hash), out var first).Should().BeTrue();
        first!.Dispose();
        pool.TryAcquire(new SelectionContext([first.Backend], hash), out var second).Should().BeTrue();
        second!.Dispose();
        return (first.Backend.Name, second.Backend.Name);
    }

    private static RawServer Silent(TaskCompletionSource arrived, TaskCompletionSource brokenOff) => new(async (peer, _) =>
    {
        await peer.ReadHeadAsync();
        arrived.TrySetResult();
        await peer.ReadToEndAsync();
        brokenOff.TrySetResult();
    });

    private static RawServer Dying(TaskCompletionSource arrived, TaskCompletionSource die) => new(async (peer, _) =>
    {
        await peer.ReadHeadAsync();
        arrived.TrySetResult();
        await die.Task;
    });

    // Only once the request waits for it.
    private async Task AdvanceAsync(int milliseconds)
    {
        var by = TimeSpan.FromMilliseconds(milliseconds);
        await Eventually.BeTrueAsync(() => _clock.UntilNextTimer <= by + TimeSpan.FromMilliseconds(1), "the request waits");
        _clock.Advance(by);
    }

    private Task<TestNode> StartAsync(IEnumerable<string> backends, HedgeOptions? hedge = null) => TestNode.StartAsync(
        backends, pool => pool with { Hedge = hedge ?? After200Ms }, time: _clock);
}
