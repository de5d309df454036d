using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>When a request is tried again, where, and how often.</summary>
internal sealed class RetryTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Test]
    public async Task Get_DiesBeforeTheHead_IsTriedElsewhere()
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var good = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([bad.Address, good.Address]);

        (await node.Client.GetStringAsync("/")).Should().Be("ok");

        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }

    [TestCase("POST")]
    [TestCase("PATCH")]
    public async Task PostOrPatch_DiesAfterItWasSent_IsNeverSentTwice(string method)
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadUntilAsync("\r\n\r\nhello"));
        await using var good = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([bad.Address, good.Address]);

        using var request = new HttpRequestMessage(new HttpMethod(method), "/") { Content = new StringContent("hello") };
        using var answer = await node.Client.SendAsync(request);

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        good.Accepted.Should().Be(0);
    }

    [Test]
    public async Task PostWithoutBody_DiesAfterItWasSent_IsNeverSentTwice()
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var good = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([bad.Address, good.Address]);

        using var answer = await node.Client.PostAsync("/", null);

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
        await using var node = await TestNode.StartAsync([$"http://127.0.0.1:{ReservedPorts.Next()}", good.Address]);

        using var answer = await node.Client.PostAsync("/", new StringContent("hello"));

        (await answer.Content.ReadAsStringAsync()).Should().Be("hello");
    }

    [Test]
    public async Task Get_EverybodyDiesBeforeTheHead_IsTriedOnceAtEach()
    {
        await using var one = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var two = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var three = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var node =
            await TestNode.StartAsync([one.Address, two.Address, three.Address], pool => pool with { Retry = new() { Attempts = 10 } });

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        new[] { one.Accepted, two.Accepted, three.Accepted }.Should().Equal(1, 1, 1);
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.Requests == 1 && backend.Failures == 1 && backend.InFlight == 0);
    }

    [Test]
    public async Task Post_EverybodyRefuses_IsTriedOnceAtEach()
    {
        await using var node = await TestNode.StartAsync(Enumerable.Range(0, 4).Select(_ => $"http://127.0.0.1:{ReservedPorts.Next()}"));

        using var answer = await node.Client.PostAsync("/", new StringContent("hello"));

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        node.Pool.Snapshot.Members.Should().OnlyContain(
            backend => backend.Requests == 1 && backend.Failures == 1, "a refused connect is no attempt, but no backend is tried twice");
    }

    [Test]
    public async Task Get_AllFail_TheLastStatusIsKept()
    {
        await using var dies = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var raves = RawServer.Answering("nonsense\r\n\r\n");
        await using var node =
            await TestNode.StartAsync([dies.Address, raves.Address, $"http://127.0.0.1:{ReservedPorts.Next()}"],
            pool => pool with { Policy = PolicyName.First });

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        answer.Headers.GetValues("Proxy-Status").Should().Equal("loadbalancer; error=http_protocol_error");
    }

    [Test]
    public async Task Get_LastCandidateAnswersWithAnError_ItsAnswerIsPassedOn()
    {
        await using var dies = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var fails = RawServer.Answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
        await using var node = await TestNode.StartAsync([dies.Address, fails.Address]);

        using var answer = await node.Client.GetAsync("/");

        answer.ReasonPhrase.Should().Be("Busy");
        (await answer.Content.ReadAsStringAsync()).Should().Be("busy");
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

        for (var i = 0; i < 50; i++)
        {
            (await node.Client.GetStringAsync("/")).Should().Be("ok");
        }

        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Get_ReusedConnectionDiesWithoutAWord_IsSentAgainToTheSameBackend()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
            await peer.ReadHeadAsync(); // Only then: it cannot be seen before.
        });
        await using var node =
            await TestNode.StartAsync([backend.Address],
            pool => pool with { Retry = new() { Attempts = 1 }, PassiveHealth = new() { Failures = 1 } });

        for (var i = 0; i < 5; i++)
        {
            (await node.Client.GetStringAsync("/")).Should().Be("ok");
        }

        backend.Accepted.Should().Be(5);
        node.Pool.Snapshot.Members[0].Should().BeEquivalentTo(new { Requests = 5, Failures = 0, Health = new { IsUp = true } });
    }

    [Test]
    public async Task Post_ReusedConnectionDiesWithoutAWord_Is502WithoutBlame()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
            await peer.ReadUntilAsync("hello");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        await node.Client.GetStringAsync("/");

        using var answer = await node.Client.PostAsync("/", new StringContent("hello"));

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway, "who knows what the backend has done with it");
        backend.Accepted.Should().Be(1);
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
    public async Task Get_BudgetUsedUp_IsNotTriedAgain()
    {
        await using var one = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var two = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var node = await TestNode.StartAsync(
            [one.Address, two.Address], pool =>
                pool with { Retry = new() { Budget = 0 }, PassiveHealth = new() { Failures = 1000 } }, time: new FakeTimeProvider());

        for (var i = 0; i < 20; i++)
        {
            using var answer = await node.Client.GetAsync("/");
            answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        }

        (one.Accepted + two.Accepted).Should().Be(20 + 10, "ten retries in ten seconds are always allowed");
    }
}
