using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Health.Probes;

/// <summary>What a probe over HTTP asks, and what it takes for success, where that is configured.</summary>
internal sealed class HttpProbeOptionsTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    private readonly BackendTrust _trust = new("web", new(), TimeProvider.System, NullLogger<BackendTrust>.Instance);

    [OneTimeTearDown]
    public void CloseTrust() => _trust.Dispose();

    [Test]
    public async Task Probe_OtherMethodHostAndFields_AreSent()
    {
        var head = "";
        await using var server = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
        });

        var result = await ProbeAsync(server.Port, new()
        {
            Method = "OPTIONS",
            Path = "/ready?x=1",
            Host = "shop.example.com",
            Headers = new Dictionary<string, string> { ["X-Probe"] = "yes", ["user-agent"] = "mine", ["Content-Type"] = "a/b" },
        });

        result.Should().Be(new ProbeResult(true, "OPTIONS /ready?x=1 answered 200"));
        head.Should().Be("OPTIONS /ready?x=1 HTTP/1.1\r\nHost: shop.example.com\r\nX-Probe: yes\r\nuser-agent: mine\r\n"
            + "Content-Type: a/b\r\nConnection: close\r\n\r\n");
    }

    [Test]
    public async Task Probe_MethodThatHasABody_SaysThatItIsEmpty()
    {
        var head = "";
        await using var server = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
        });

        (await ProbeAsync(server.Port, new() { Method = "POST" }))!.Value.Succeeded.Should().BeTrue();
        head.Should().Contain("\r\nContent-Length: 0\r\n");
    }

    [Test]
    public async Task Probe_OverHttp2_NamesHostAndFieldsToo()
    {
        var seen = "";
        await using var server = await KestrelBackend.StartAsync(
            async context =>
            {
                seen = $"{context.Request.Host} {context.Request.Headers["x-probe"]} {context.Request.Headers.UserAgent}";
                await context.Response.WriteAsync("all is well");
            },
            HttpProtocols.Http2);

        var result = await ProbeAsync(
            new Uri(server.Address).Port,
            new() { Host = "shop.example.com", Headers = new Dictionary<string, string> { ["X-Probe"] = "yes" }, Body = "is well" },
            version: System.Net.HttpVersion.Version20);

        (result!.Value.Succeeded, seen).Should().Be((true, "shop.example.com yes loadbalancer-probe"));
    }

    [Test]
    public async Task Probe_OtherPort_IsAskedThere()
    {
        await using var service = RawServer.Answering(Ok);
        await using var health = RawServer.Answering(Ok);

        (await ProbeAsync(service.Port, new() { Port = health.Port }))!.Value.Succeeded.Should().BeTrue();
        (service.Accepted, health.Accepted).Should().Be((0, 1));
    }

    [TestCase("200-299", 302, false)]
    [TestCase("200-299,302", 302, true)]
    [TestCase("200, 401 , 500-599", 401, true)]
    [TestCase("200,401,500-599", 599, true)]
    [TestCase("200,401,500-599", 204, false)]
    public async Task Probe_Status_SucceedsWhereItIsInTheList(string statuses, int status, bool succeeds)
    {
        await using var server = RawServer.Answering($"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");

        (await ProbeAsync(server.Port, new() { Status = statuses })).Should().Be(new ProbeResult(succeeds, $"GET / answered {status}"));
    }

    [ByteCase("Content-Length: 11\r\n\r\nall is well", true)]
    [ByteCase("Content-Length: 11\r\n\r\nall is ill.", false)]
    [ByteCase("Content-Length: 5\r\n\r\nall is well", false)]
    [ByteCase("Transfer-Encoding: chunked\r\n\r\n7\r\nall is \r\n4\r\nwell\r\n0\r\n\r\n", true)]
    [ByteCase("Transfer-Encoding: chunked\r\n\r\n6\r\nis ill\r\n0\r\n\r\n", false)]
    [ByteCase("\r\nall is well", true)]
    [ByteCase("\r\nall is ill.", false)]
    public async Task Probe_Body_IsSearchedHoweverItIsFramed(string rest, bool succeeds)
    {
        await using var server = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\n" + rest);
        });

        (await ProbeAsync(server.Port, new() { Body = "is well" })).Should().Be(
            new ProbeResult(succeeds, $"GET / answered 200{(succeeds ? "" : " without the expected text")}"));
    }

    [TestCase(65536 - 4, true)]
    [TestCase(65536 - 3, false)]
    public async Task Probe_LongBody_IsSearchedUpTo64KiB(int before, bool succeeds)
    {
        var body = new string('x', before) + "well" + new string('x', 100_000);
        foreach (var (protocols, version) in new[]
            { (HttpProtocols.Http1, System.Net.HttpVersion.Version11), (HttpProtocols.Http2, System.Net.HttpVersion.Version20) })
        {
            await using var server = await KestrelBackend.StartAsync(context => context.Response.WriteAsync(body), protocols);

            (await ProbeAsync(new Uri(server.Address).Port, new() { Body = "well" }, version: version))!.Value.Succeeded
                .Should().Be(succeeds, $"{protocols}");
        }
    }

    [Test]
    public async Task Probe_TextThatComesInPiecesOfABodyWithoutEnd_IsFound()
    {
        var found = new TaskCompletionSource();
        await using var server = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nall is w");
            await peer.SendAsync("ell");
            await found.Task;
        });

        (await ProbeAsync(server.Port, new() { Body = "well" }))!.Value.Succeeded.Should().BeTrue();
        found.SetResult();
    }

    [Test]
    public async Task Probe_BodyDoesNotCome_FailsInTime()
    {
        var clock = new FakeTimeProvider();
        await using var server = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall ");
            await peer.ReadToEndAsync();
        });
        var probing = ProbeAsync(server.Port, new() { Body = "well" }, clock);
        await Eventually.BeTrueAsync(() => server.Accepted == 1, "it is under way");

        clock.Advance(TimeSpan.FromSeconds(5));

        (await probing).Should().Be(new ProbeResult(false, "no answer within 5 s"));
    }

    [Test]
    public async Task Probe_BodyBreaksOff_Fails()
    {
        await using var server = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall ");
        });

        (await ProbeAsync(server.Port, new() { Body = "well" })).Should().Be(
            new ProbeResult(false, "connection closed in the middle of the body"));
    }

    [TestCase("http", 80, "app.internal")]
    [TestCase("https", 443, "app.internal")]
    [TestCase("http", 443, "app.internal:443")]
    public void HostOf_Address_HasThePortUnlessItIsTheSchemesOwn(string scheme, int port, string host) =>
        ProbeRequest.HostOf(new EndpointAddress(scheme, "app.internal", port)).Should().Be(host);

    private Task<ProbeResult?> ProbeAsync(int port, HealthCheckOptions options, TimeProvider? time = null, Version? version = null)
    {
        var backend = new Backend("a", new EndpointAddress("http", "127.0.0.1", port), new BackendHealth(new(), TimeProvider.System));
        version ??= System.Net.HttpVersion.Version11;
        return new HttpProbe(ProbeSender.SendAsync, _trust, options, version, time ?? TimeProvider.System)
            .ProbeAsync(backend, CancellationToken.None);
    }
}
