using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Requests that wait because every backend has as many as it may have.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class QueueTests : IDisposable
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private readonly SemaphoreSlim _answers = new(0);

    public void Dispose() => _answers.Dispose();

    [Test]
    public async Task Get_EverybodyFull_WaitsForItsTurn()
    {
        var order = new List<string>();
        await using var backend = Backend(order);
        await using var node = await StartAsync([backend.Address], limit: 10);

        var gets = new List<Task<string>>();
        for (var i = 0; i < 4; i++)
        {
            gets.Add(node.Client.GetStringAsync($"/{i}"));
            var waiting = i;
            await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == waiting && backend.Accepted == 1, "it waits");
        }
        for (var i = 0; i < 4; i++)
        {
            _answers.Release();
            (await gets[i]).Should().Be("ok");
        }

        order.Should().Equal("/0", "/1", "/2", "/3");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(0);
        node.Pool.RequestQueue.Count.Should().Be(0);
    }

    [Test]
    public async Task Get_QueueFull_Is503AtOnce()
    {
        await using var backend = Backend([]);
        await using var node = await StartAsync([backend.Address], limit: 1);
        var served = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the first is served");
        var waits = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "the second waits");

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        answer.Headers.RetryAfter.Should().NotBeNull();
        answer.Headers.GetValues("Proxy-Status").Should().Equal("loadbalancer; error=connection_limit_reached");
        (await answer.Content.ReadAsStringAsync()).Should().Be("No backend available\n");
        _answers.Release(2);
        (await Task.WhenAll(served, waits)).Should().Equal("ok", "ok");
    }

    [Test]
    public async Task Get_WaitsForTooLong_Is503AndLeavesTheQueue()
    {
        var clock = new FakeTimeProvider();
        await using var backend = Backend([]);
        await using var node = await StartAsync([backend.Address], limit: 1, time: clock);
        var served = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the first is served");
        var waits = node.Client.GetAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "the second waits");

        clock.Advance(TimeSpan.FromSeconds(4.9));
        node.Pool.RequestQueue.Count.Should().Be(1);
        clock.Advance(TimeSpan.FromSeconds(0.1));

        using var answer = await waits;
        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        answer.Headers.RetryAfter.Should().NotBeNull();
        node.Pool.RequestQueue.Count.Should().Be(0);
        _answers.Release();
        (await served).Should().Be("ok");
    }

    [Test]
    public async Task Get_ClientLeavesWhileItWaits_FreesItsPlaceAtOnce()
    {
        await using var backend = Backend([]);
        await using var node = await StartAsync([backend.Address], limit: 1);
        var served = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the first is served");
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "the second waits");

        client.Reset();

        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 0, "its place is free");
        _answers.Release();
        (await served).Should().Be("ok");
        node.Pool.Snapshot.Members[0].Requests.Should().Be(1, "a request whose client has left is not sent");
    }

    [Test]
    public async Task Get_TheLastBackendGoesDownMeanwhile_Is503AtOnce()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await _answers.WaitAsync();
        });
        await using var node = await StartAsync([backend.Address], limit: 5);
        var served = node.Client.GetAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the first is served");
        var waits = node.Client.GetAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "the second waits");

        node.Pool.Change(() => node.Pool.Snapshot.Members[0].AdminState = LoadBalancer.Pools.AdminState.Disabled);

        (await waits).StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        _answers.Release();
        (await served).StatusCode.Should().Be(HttpStatusCode.BadGateway);
    }

    [Test]
    public async Task Get_ManyAtOnce_NeverExceedMaxInFlightAndAllAreServed()
    {
        var (now, most) = (0, 0);
        Func<RawPeer, int, Task> serve = async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                most = Math.Max(most, Interlocked.Increment(ref now));
                await Task.Yield();
                Interlocked.Decrement(ref now);
                await peer.SendAsync(Ok);
            }
        };
        await using var one = new RawServer(serve);
        await using var two = new RawServer(serve);
        await using var node = await StartAsync([one.Address, two.Address], limit: 1000, maxInFlight: 3);

        var answers = await Task.WhenAll(Enumerable.Range(0, 300).Select(_ => node.Client.GetStringAsync("/")));

        answers.Should().OnlyContain(answer => answer == "ok");
        most.Should().BeInRange(1, 6);
        node.Pool.Snapshot.Members.Should().OnlyContain(backend => backend.InFlight == 0);
        node.Pool.RequestQueue.Count.Should().Be(0);
    }

    // Answers one request for each release, and writes down which.
    private RawServer Backend(List<string> order) => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            order.Add(head.Split(' ')[1]);
            await _answers.WaitAsync();
            await peer.SendAsync(Ok);
        }
    });

    private static Task<TestNode> StartAsync(IEnumerable<string> backends, int limit, int maxInFlight = 1, TimeProvider? time = null) =>
        TestNode.StartAsync(
        backends,
        pool => pool with
        {
            Queue = new QueueOptions { Limit = limit },
            Backends = pool.Backends.ToDictionary(entry => entry.Key, entry => entry.Value with { MaxInFlight = maxInFlight }),
        },
        time: time);
}
