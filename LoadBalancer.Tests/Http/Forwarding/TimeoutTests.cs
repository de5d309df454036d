using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Who waits for what, for how long, and what ends the waiting early.</summary>
internal sealed class TimeoutTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    // Nearly the time-out for silence, which is 100 s.
    private static readonly TimeSpan AlmostIdle = TimeSpan.FromSeconds(99);

    [Test]
    [Platform("Linux")]
    public async Task Connect_NoAnswerInTime_Is504()
    {
        var clock = new FakeTimeProvider();
        using var hole = new BlackHole();
        await using var node = await TestNode.StartAsync([hole.Address], time: clock);

        var get = node.Client.GetAsync("/");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the request is under way");
        await AdvanceUntilAsync(clock, get);

        using var answer = await get;
        answer.StatusCode.Should().Be(HttpStatusCode.GatewayTimeout);
        answer.Headers.GetValues("Proxy-Status").Should().Equal("loadbalancer; error=connection_timeout");
    }

    [Test]
    [Platform("Linux")]
    public async Task Connect_ClientGoesAway_EndsAtOnceWithoutBlame()
    {
        using var hole = new BlackHole();
        // No time passes, so no deadline does.
        await using var node = await TestNode.StartAsync([hole.Address], time: new FakeTimeProvider());
        using (var client = await node.ConnectAsync())
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the request is under way");
        }

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");

        node.Pool.Snapshot.Members[0].Should().BeEquivalentTo(new { Failures = 0, Health = new { IsUp = true } });
    }

    [TestCase("GET /phantom HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase("hello")]
    public async Task Connect_ClientGoesAwayBeforeItsBodyIsRead_TheBodyIsNotTakenForARequest(string body)
    {
        var file = Path.GetTempFileName();
        try
        {
            using var hole = new BlackHole();
            await using var other = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await using (var node = await TestNode.StartAsync(
                [hole.Address], listener: listener =>
                    listener with { AccessLog = file, Routes = [new() { Path = "/phantom", Pool = "other" }] },
                    time: new FakeTimeProvider(), otherPools: new() { ["other"] = other.Address }))
            {
                for (var i = 0; i < 10; i++)
                {
                    using var client = await node.ConnectAsync();
                    await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{body}");
                    await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the request is under way");
                    client.Dispose();
                    await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
                }
                await node.StopAsync();
            }

            var lines = await File.ReadAllLinesAsync(file);
            lines.Should().HaveCount(10).And.OnlyContain(line => line.Contains("\"POST / HTTP/1.1\" 499 ", StringComparison.Ordinal));
            other.Accepted.Should().Be(0);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Test]
    public async Task FirstProbe_ClientGoesAway_EndsTheWaitAtOnce()
    {
        var file = Path.GetTempFileName();
        try
        {
            await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
            await using var node = await TestNode.StartAsync(
                [backend.Address], pool =>
                    pool with { HealthCheck = new() { Timeout = TimeSpan.FromHours(1) } }, listener => listener with { AccessLog = file });
            using (var client = await node.ConnectAsync())
            {
                await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }

            // The probe is never answered, so nothing but the client's going can have ended the request.
            var log = "";
            await Eventually.BeTrueAsync(async () => (log = await File.ReadAllTextAsync(file)).EndsWith('\n'), "the request is over");

            log.Should().Contain("\"GET / HTTP/1.1\" 499 ");
            backend.Accepted.Should().BeLessThanOrEqualTo(1, "only the probe may have come by");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Test]
    public async Task Get_NoAnswerInTime_Is504()
    {
        var clock = new FakeTimeProvider();
        var arrived = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.SetResult();
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);

        var get = node.Client.GetAsync("/");
        await arrived.Task;
        await AdvanceUntilAsync(clock, get);

        using var answer = await get;
        answer.StatusCode.Should().Be(HttpStatusCode.GatewayTimeout);
        answer.Headers.GetValues("Proxy-Status").Should().Equal("loadbalancer; error=http_response_timeout");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(0);
    }

    [Test]
    public async Task Get_SilenceInTheMiddleOfTheBody_BreaksTheResponse()
    {
        var clock = new FakeTimeProvider();
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
    public async Task Response_SlowButMoving_IsNeverCut([Values] bool chunked)
    {
        var clock = new FakeTimeProvider();
        var next = new SemaphoreSlim(0);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            for (var i = 0; i < 10; i++)
            {
                await next.WaitAsync();
                await peer.SendAsync(chunked ? $"1\r\n{i}\r\n" : $"{i}");
            }
            await peer.SendAsync(chunked ? "0\r\n\r\n" : "");
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        await client.ReadHeadAsync();

        for (var i = 0; i < 10; i++)
        {
            clock.Advance(AlmostIdle);
            next.Release();
            await client.ReadUntilAsync(chunked ? $"1\r\n{i}\r\n" : $"{i}");
        }

        (await client.ReadToEndAsync()).Should().Be(chunked ? "0\r\n\r\n" : "");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    // There is no minimum rate, as there is none in nginx: one byte now and then keeps a message alive, and silence ends it.
    [Test]
    public async Task Request_SlowButMoving_IsNeverCutForItsRate([Values] bool chunked)
    {
        var clock = new FakeTimeProvider();
        var arrived = new SemaphoreSlim(0);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            for (var i = 0; i < 10; i++)
            {
                await peer.ReadUntilAsync(chunked ? $"1\r\n{i}\r\n" : $"{i}");
                arrived.Release();
            }
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{(chunked ? "Transfer-Encoding: chunked" : "Content-Length: 10")}\r\n\r\n");

        for (var i = 0; i < 10; i++)
        {
            clock.Advance(i == 0 ? TimeSpan.Zero : AlmostIdle);
            await client.SendAsync(chunked ? $"1\r\n{i}\r\n" : $"{i}");
            await arrived.WaitAsync();
        }
        await client.SendAsync(chunked ? "0\r\n\r\n" : "");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200").And.EndWith("ok");
    }

    [Test]
    public async Task Request_SilenceInTheMiddleOfTheBody_Is408WithoutBlame()
    {
        var clock = new FakeTimeProvider();
        var (begun, seen) = (new TaskCompletionSource<string>(), new TaskCompletionSource<string>());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            begun.SetResult(await peer.ReadAsync(4));
            seen.SetResult(await peer.ReadToEndAsync());
        });
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { PassiveHealth = new() { Failures = 1 } }, time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
        (await begun.Task).Should().Be("half");

        var answer = client.ReadHeadAsync();
        await AdvanceUntilAsync(clock, answer);

        (await answer).Should().StartWith("HTTP/1.1 408");
        (await seen.Task).Should().BeEmpty();
        node.Pool.Snapshot.Members[0].Should().BeEquivalentTo(new { Failures = 0, InFlight = 0, Health = new { IsUp = true } });
    }

    private static Task AdvanceUntilAsync(FakeTimeProvider clock, Task done) =>
        Eventually.BeDoneAsync(done, clock, TimeSpan.FromSeconds(5), "the time-out comes");
}
