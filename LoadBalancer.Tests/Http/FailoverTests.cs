using System.Net;
using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http;

/// <summary>What happens when backends are not there, die, or fall silent.</summary>
internal sealed class FailoverTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly HealthCheckOptions Check = new() { DownInterval = TimeSpan.FromMilliseconds(100) };

    [Test]
    public async Task Get_TwoBackends_AreUsedInTurn()
    {
        await using var one = RawServer.Answering(Ok.Replace("ok", "b1", StringComparison.Ordinal));
        await using var two = RawServer.Answering(Ok.Replace("ok", "b2", StringComparison.Ordinal));
        await using var node = await TestNode.StartAsync([one.Address, two.Address]);

        var answers = new List<string>();
        for (var i = 0; i < 4; i++)
        {
            answers.Add(await node.Client.GetStringAsync("/"));
        }

        answers.Should().Equal("b1", "b2", "b1", "b2");
    }

    [Test]
    public async Task Get_NobodyIsThere_Is503AtOnce()
    {
        await using var node = await TestNode.StartAsync(
            [$"http://127.0.0.1:{RawServer.FreePort()}", $"http://127.0.0.1:{RawServer.FreePort()}"], pool => pool with { HealthCheck = Check });

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        (await answer.Content.ReadAsStringAsync()).Should().Be("No backend available\n");
        answer.Headers.RetryAfter.Should().NotBeNull();
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.Requests == 0, "nobody is contacted");
    }

    [Test]
    public async Task Get_BeforeTheFirstProbe_WaitsForIt()
    {
        var answer = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, number) =>
        {
            await peer.ReadHeadAsync();
            if (number == 1)
            {
                await answer.Task;
            }
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { HealthCheck = Check });

        var get = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the probe is under way");
        get.IsCompleted.Should().BeFalse();
        answer.SetResult();

        (await get).Should().Be("ok");
    }

    [Test]
    public async Task Get_OneBackendKilled_NeverFails()
    {
        await using var one = RawServer.Answering(Ok);
        await using var two = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([one.Address, two.Address], pool => pool with { HealthCheck = Check });
        await GetAllAsync(node, 20);

        await one.KillAsync();

        await GetAllAsync(node, 100);
        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeFalse();
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.InFlight == 0);
    }

    [Test]
    public async Task Get_BackendComesBack_ServesAgain()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { HealthCheck = Check });
        await GetAllAsync(node, 1);
        await backend.KillAsync();
        (await StatusAsync(node)).Should().Be(HttpStatusCode.BadGateway, "the first request finds out");
        (await StatusAsync(node)).Should().Be(HttpStatusCode.ServiceUnavailable);

        backend.Restart();

        await Eventually.BeTrueAsync(async () => await StatusAsync(node) == HttpStatusCode.OK, "a probe finds the backend well");
    }

    [Test]
    public async Task Get_BackendComesBackWithoutProbes_ServesAfterItsEjection()
    {
        var clock = new FakeClock();
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        await backend.KillAsync();
        (await StatusAsync(node)).Should().Be(HttpStatusCode.BadGateway);
        backend.Restart();
        (await StatusAsync(node)).Should().Be(HttpStatusCode.ServiceUnavailable);

        clock.Advance(TimeSpan.FromSeconds(10));

        await Eventually.BeTrueAsync(async () => await StatusAsync(node) == HttpStatusCode.OK, "the ejection is over");
    }

    [Test]
    public async Task Get_DiesBeforeTheHead_IsTriedElsewhere()
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var good = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([bad.Address, good.Address]);

        (await node.Client.GetStringAsync("/")).Should().Be("ok");

        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }

    [Test]
    public async Task Post_DiesAfterItWasSent_IsNeverSentTwice()
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadUntilAsync("\r\n\r\nhello"));
        await using var good = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([bad.Address, good.Address]);

        using var answer = await node.Client.PostAsync("/", new StringContent("hello"));

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        good.Accepted.Should().Be(0);
    }

    [Test]
    public async Task Post_ConnectRefused_GoesToTheOtherWithItsBody()
    {
        await using var good = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{await peer.ReadAsync(5)}");
        });
        await using var node = await TestNode.StartAsync([$"http://127.0.0.1:{RawServer.FreePort()}", good.Address]);

        using var answer = await node.Client.PostAsync("/", new StringContent("hello"));

        (await answer.Content.ReadAsStringAsync()).Should().Be("hello");
    }

    [Test]
    public async Task Get_IdleConnectionClosedByTheBackend_IsNotTheUsersProblem()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        await GetAllAsync(node, 50);

        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Get_EveryConnectionDiesWithoutAWord_IsSentTwiceAtMost()
    {
        var (all, poisoned) = (new TaskCompletionSource(), 0);
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is { } head)
            {
                if (head.StartsWith("GET /poison", StringComparison.Ordinal))
                {
                    Interlocked.Increment(ref poisoned);
                    return;
                }
                await all.Task;
                await peer.SendAsync(Ok);
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        var gets = Enumerable.Range(0, 20).Select(_ => node.Client.GetStringAsync("/")).ToList();
        await Eventually.BeTrueAsync(() => backend.Accepted == 20, "twenty connections are open");
        all.SetResult();
        await Task.WhenAll(gets);

        using var answer = await node.Client.GetAsync("/poison");

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        poisoned.Should().Be(2, "once for the idle connection that may have been too old, once for a fresh one");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }

    [Test]
    public async Task Get_NoAnswerInTime_Is504()
    {
        var clock = new FakeClock();
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);

        var get = node.Client.GetAsync("/");
        await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is under way");
        await AdvanceUntilAsync(clock, get);

        using var answer = await get;
        answer.StatusCode.Should().Be(HttpStatusCode.GatewayTimeout);
        answer.Headers.GetValues("Proxy-Status").Should().Equal("loadbalancer; error=http_response_timeout");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(0);
    }

    [Test]
    public async Task Get_SilenceInTheMiddleOfTheBody_BreaksTheResponse()
    {
        var clock = new FakeClock();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadUntilAsync("half")).Should().StartWith("HTTP/1.1 200");

        var end = client.ReadToEndAsync();
        await AdvanceUntilAsync(clock, end);

        (await end).Should().BeEmpty();
    }

    [Test]
    public async Task Get_AHundredAtOnceWhileABackendDies_AllSucceed()
    {
        await using var one = RawServer.Answering(Ok);
        await using var two = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([one.Address, two.Address], pool => pool with { HealthCheck = Check });

        var gets = Enumerable.Range(0, 100).Select(_ => node.Client.GetStringAsync("/")).ToList();
        await one.KillAsync();
        gets.AddRange(Enumerable.Range(0, 100).Select(_ => node.Client.GetStringAsync("/")));

        (await Task.WhenAll(gets)).Should().OnlyContain(body => body == "ok");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(backend => backend.InFlight == 0), "no lease leaks");
    }

    [Test]
    public async Task Status_OnTheListener_TellsHealth()
    {
        await using var backend = RawServer.Answering(Ok);
        var gone = $"http://127.0.0.1:{RawServer.FreePort()}";
        await using var node = await TestNode.StartAsync([backend.Address, gone], pool => pool with { HealthCheck = Check }, listener => listener with { StatusEndpoints = true });
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(member => !member.Health.IsPending), "both were probed");

        (await node.Client.GetStringAsync("/health")).Should().Be("{\"status\":\"ok\",\"backends\":{\"" + backend.Address + "\":true,\"" + gone + "\":false}}");
        (await node.Client.GetStringAsync("/status")).Should().Contain("\"reason\":\"connection refused\"").And.Contain("\"policy\":\"RoundRobin\"");
    }

    [Test]
    public async Task Health_NobodyEligible_Is503()
    {
        await using var node = await TestNode.StartAsync(
            [$"http://127.0.0.1:{RawServer.FreePort()}"], pool => pool with { HealthCheck = Check }, listener => listener with { StatusEndpoints = true });
        await node.Pool.Settled;

        using var answer = await node.Client.GetAsync("/health");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        (await answer.Content.ReadAsStringAsync()).Should().Contain("\"unavailable\"");
    }

    [Test]
    public async Task Stop_RequestInFlight_FinishesItAndClosesTheConnection()
    {
        var (received, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            received.SetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await received.Task;

        var stopping = node.StopAsync();
        await Eventually.BeTrueAsync(async () => !await CanConnectAsync(node), "it no longer accepts");
        stopping.IsCompleted.Should().BeFalse();
        answer.SetResult();

        (await client.ReadToEndAsync()).Should().StartWith("HTTP/1.1 200").And.Contain("Connection: close").And.EndWith("ok");
        await stopping;
    }

    private static async Task GetAllAsync(TestNode node, int count)
    {
        for (var i = 0; i < count; i++)
        {
            (await node.Client.GetStringAsync("/")).Should().Be("ok");
        }
    }

    private static async Task<HttpStatusCode> StatusAsync(TestNode node)
    {
        using var answer = await node.Client.GetAsync("/");
        return answer.StatusCode;
    }

    private static async Task<bool> CanConnectAsync(TestNode node)
    {
        try
        {
            (await node.ConnectAsync()).Dispose();
            return true;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    }

    private static Task AdvanceUntilAsync(FakeClock clock, Task done) => Eventually.BeTrueAsync(
        () =>
        {
            clock.Advance(TimeSpan.FromSeconds(5));
            return done.IsCompleted;
        },
        "the time-out comes");
}
