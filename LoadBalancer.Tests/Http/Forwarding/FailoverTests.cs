using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>What happens when backends are not there, die, or fall silent.</summary>
internal sealed class FailoverTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly HealthCheckOptions Check = new() { DownInterval = TimeSpan.FromMilliseconds(100) };

    [Test]
    public async Task Get_NobodyIsThere_Is503AtOnce()
    {
        await using var node = await TestNode.StartAsync(
            [$"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}"], pool =>
                pool with { HealthCheck = Check });

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        (await answer.Content.ReadAsStringAsync()).Should().Be("No backend available\n");
        answer.Headers.RetryAfter.Should().NotBeNull();
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.Requests == 0, "no backend is contacted");
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
        var clock = new FakeTimeProvider();
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
        var gone = $"http://127.0.0.1:{ReservedPorts.Next()}";
        await using var node =
            await TestNode.StartAsync([backend.Address, gone], pool => pool with { HealthCheck = Check },
            listener => listener with { StatusEndpoints = true });
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(member => !member.Health.IsPending), "both were probed");

        (await node.Client.GetStringAsync("/health"))
            .Should().Be("{\"status\":\"ok\",\"backends\":{\"" + backend.Address + "\":true,\"" + gone + "\":false}}");
        (await node.Client.GetStringAsync("/status"))
            .Should().Contain("\"reason\":\"connection refused\"").And.Contain("\"policy\":\"RoundRobin\"");
    }

    [Test]
    public async Task Health_NobodyEligible_Is503()
    {
        await using var node = await TestNode.StartAsync(
            [$"http://127.0.0.1:{ReservedPorts.Next()}"], pool =>
                pool with { HealthCheck = Check }, listener => listener with { StatusEndpoints = true });
        await node.Pool.Settled;

        using var answer = await node.Client.GetAsync("/health");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        (await answer.Content.ReadAsStringAsync()).Should().Contain("\"unavailable\"");
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
}
