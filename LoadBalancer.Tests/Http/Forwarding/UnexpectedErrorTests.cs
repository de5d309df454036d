using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Server;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Exceptions that no step of the forwarder expects: each ends as a 502 that is logged and counted, once.</summary>
internal sealed class UnexpectedErrorTests
{
    [Test]
    public async Task Forward_SomethingThrows_Is502LoggedAndCounted([Values("handler", "policy")] string where)
    {
        using var directory = new TemporaryDirectory();
        var time = TimeProvider.System;
        var options = new HttpListenerOptions
        {
            Address = TestNode.Parse("http://127.0.0.1:0"),
            Pool = "web",
            AccessLog = directory.File("access.log"),
        };
        using var logs = new AccessLogs(time, NullLogger<AccessLog>.Instance);
        logs.Open(new Dictionary<string, ListenerOptions> { ["web"] = options });
        await logs.StartAsync(CancellationToken.None);
        var backend = TestBackends.Unprobed("b1");
        var pool = new BackendPool("web", new FaultyPolicy(() => where == "policy"), [backend]);
        var (errors, log) = (new ErrorStatistics(time), new LogRecorder());
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(log));
        using var client = new HttpClient(new ThrowingHandler());
        var forwarder = new HttpForwarder(
            pool, new PoolOptions(), null, client, time, errors, loggers.CreateLogger<HttpForwarder>(), CancellationToken.None);
        using (var listener = new KestrelListener(
            "web", options, context => forwarder.ForwardAsync(context, false, context.Features.Get<AccessRecord>(), 0), logs.For(options),
            errors, new ListenSockets(), time, loggers))
        {
            await listener.StartAsync(CancellationToken.None);

            var answer = await RawPeer.ExchangeAsync(
                new Uri(listener.Address).Port, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

            answer.Should().StartWith("HTTP/1.1 502 ").And.Contain("error=proxy_internal_error");
            await listener.StopAsync(CancellationToken.None);
        }
        await logs.StopAsync(CancellationToken.None);
        (await File.ReadAllLinesAsync(directory.File("access.log"))).Should().ContainSingle().Which.Should().Contain(" 502 ");
        log.Lines.Should().ContainSingle(line => line.StartsWith("Error", StringComparison.Ordinal))
            .Which.Should().Contain("pool 'web'").And.Contain("it broke");
        errors.Summary().Types.Should().Equal(("502_BAD_GATEWAY", 1L));
        pool.Snapshot.Members[0].Should().Match<Backend>(member => member.InFlight == 0 && member.Failures == 0);
    }

    [Test]
    public async Task Forward_HedgedAttemptThrows_OtherOneIsCancelled()
    {
        var options = new HttpListenerOptions { Address = TestNode.Parse("http://127.0.0.1:0"), Pool = "web" };
        var pool = new BackendPool("web", new FaultyPolicy(() => false), [TestBackends.Unprobed("b1"), TestBackends.Unprobed("b2")]);
        using var client = new HttpClient(new SecondThrows());
        var hedged = new PoolOptions { Hedge = new HedgeOptions { After = new HedgeAfter(TimeSpan.FromMilliseconds(1), 95) } };
        var forwarder = new HttpForwarder(
            pool, hedged, null, client, TimeProvider.System, new ErrorStatistics(TimeProvider.System), NullLogger<HttpForwarder>.Instance,
            CancellationToken.None);
        using var listener = new KestrelListener(
            "web", options, context => forwarder.ForwardAsync(context, false, null, 0), null, null, new ListenSockets(),
            TimeProvider.System, NullLoggerFactory.Instance);
        await listener.StartAsync(CancellationToken.None);
        using var peer = await RawPeer.ConnectAsync(new Uri(listener.Address).Port);

        await peer.SendAsync("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");

        (await peer.ReadResponseAsync()).Should().StartWith("HTTP/1.1 502 ").And.Contain("error=proxy_internal_error");
        await Eventually.BeTrueAsync(() => pool.Snapshot.Members.All(member => member.InFlight == 0), "nothing is left in flight");
        await listener.StopAsync(CancellationToken.None);
    }

    private sealed class SecondThrows : HttpMessageHandler
    {
        private int _count;

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (Interlocked.Increment(ref _count) == 2)
            {
                throw new NotSupportedException("it broke");
            }
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, ((ForwardRequest)request).Superseded);
            return null!;
        }
    }

    private sealed class ThrowingHandler : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            throw new NotSupportedException("it broke");
    }
}
