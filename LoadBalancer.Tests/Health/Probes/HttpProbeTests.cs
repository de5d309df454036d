using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Health.Probes;

internal sealed class HttpProbeTests
{
    private readonly BackendTrust _trust = new("web", new(), TimeProvider.System, NullLogger<BackendTrust>.Instance);

    [OneTimeTearDown]
    public void CloseTrust() => _trust.Dispose();

    [TestCase(200, true)]
    [TestCase(204, true)]
    [TestCase(301, false)]
    [TestCase(404, false)]
    [TestCase(503, false)]
    public async Task Probe_Answer_SucceedsOn2xxOnly(int status, bool succeeds)
    {
        await using var server = RawServer.Answering($"HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");

        var result = await ProbeAsync(server.Port);

        result.Should().Be(new ProbeResult(succeeds, $"GET /healthz?deep=1 answered {status}"));
    }

    [Test]
    public async Task Probe_Always_GetsThePathOnAConnectionOfItsOwn()
    {
        var heads = new List<string?>();
        await using var server = new RawServer(async (peer, _) =>
        {
            heads.Add(await peer.ReadHeadAsync());
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            await peer.ReadHeadAsync();
        });

        await ProbeAsync(server.Port);
        await ProbeAsync(server.Port);

        server.Accepted.Should().Be(2);
        heads[0].Should().StartWith("GET /healthz?deep=1 HTTP/1.1\r\n").And.Contain($"Host: 127.0.0.1:{server.Port}\r\n");
    }

    [Test]
    public async Task Probe_FailsAsItIsCancelled_IsCancelled() =>
        await FluentActions.Awaiting(() => new RefusedAsItIsCancelled().ProbeAsync(null!, default))
            .Should().ThrowAsync<OperationCanceledException>("nobody waits for its result");

    [Test]
    public async Task Probe_NobodyListens_SaysSo() =>
        (await ProbeAsync(ReservedPorts.Next())).Should().Be(new ProbeResult(false, "connection refused"));

    [Test]
    public async Task Probe_NoAnswer_TimesOut()
    {
        var clock = new FakeTimeProvider();
        await using var server = new RawServer(async (peer, _) => await peer.ReadToEndAsync());

        var probing = ProbeAsync(server.Port, clock);
        await Eventually.BeTrueAsync(() => server.Accepted == 1, "the probe is under way");
        clock.Advance(TimeSpan.FromSeconds(5));

        (await probing).Should().Be(new ProbeResult(false, "no answer within 5 s"));
    }

    [Test]
    public async Task Probe_Garbage_Fails()
    {
        await using var server = RawServer.Answering("SSH-2.0-OpenSSH_9.6\r\n");

        (await ProbeAsync(server.Port))!.Value.Succeeded.Should().BeFalse();
    }

    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true)]
    [ByteCase("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", true)]
    [ByteCase("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true)]
    [ByteCase("HTTP/1.1 200 OK\nContent-Length: 0\n\n", true)]
    [ByteCase("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-\u00e9: a\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\u0001b\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n folded\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false)]
    [ByteCase("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", false)]
    [ByteCase("HTTP/1.7 200 OK\r\nContent-Length: 0\r\n\r\n", false)]
    [ByteCase("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false)]
    [ByteCase("ICY 200 OK\r\n\r\n", false)]
    public async Task Probe_HeadOfAnyKind_IsReadAsForRequests(string head, bool isGood)
    {
        await using var server = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(head);
        });
        await using var node = await TestNode.StartAsync([server.Address]);

        var probe = await ProbeAsync(server.Port);
        var answer = await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

        (probe!.Value.Succeeded, answer[9..12]).Should().Be((isGood, isGood ? "200" : "502"), probe.Value.Reason);
    }

    // What the backend sends after its SETTINGS, and whether both take it. The frames of the stream that is asked are of stream 1.
    private static IEnumerable<TestCaseData> Http2Answers()
    {
        var ok = Fields((":status", "204"));
        TestCaseData Case(string name, bool isGood, params (byte Type, byte Flags, string Payload)[] frames) =>
            new TestCaseData(frames, isGood).SetArgDisplayNames(name);

        static string Fields(params (string Name, string Value)[] fields) =>
            string.Concat(fields.Select(field => "\0" + HpackText.String(field.Name) + HpackText.String(field.Value)));

        yield return Case("a head", true, (1, 5, ok));
        yield return Case("an interim response first", true, (1, 4, Fields((":status", "103"))), (1, 5, ok));
        yield return Case("a head in two frames", true, (1, 1, ok[..3]), (9, 4, ok[3..]));
        yield return Case("no status", false, (1, 5, Fields(("a", "b"))));
        yield return Case("an upper-case name", false, (1, 5, ok + Fields(("Server", "x"))));
        yield return Case("a field of the connection", false, (1, 5, ok + Fields(("connection", "close"))));
        yield return Case("two lengths", false, (1, 4, ok + Fields(("content-length", "1"), ("content-length", "1"))));
        yield return Case("an interim response that ends the stream", false, (1, 5, Fields((":status", "103"))));
        yield return Case("a switch of the protocol", false, (1, 4, Fields((":status", "101"))));
        yield return Case("a body before the head", false, (0, 0, "x"), (1, 5, ok));
        yield return Case("a push", false, (5, 4, "\0\0\0\x02" + ok), (1, 5, ok));
        yield return Case("a frame amid a head", false, (1, 1, ok[..3]), (0, 1, "x"));
        yield return Case("what is no HPACK", false, (1, 5, "\x80"));
    }

    [TestCaseSource(nameof(Http2Answers))]
    public async Task Probe_HeadOverHttp2_IsReadAsForRequests((byte Type, byte Flags, string Payload)[] frames, bool isGood)
    {
        await using var server = new Http2Server(async (peer, _) =>
        {
            while (await peer.NextAsync() is { } frame)
            {
                if (frame.Type == 1)
                {
                    foreach (var (type, flags, payload) in frames)
                    {
                        await peer.SendFrameAsync(type, flags, frame.Stream, payload);
                    }
                }
            }
        });
        await using var node = await TestNode.StartAsync(
            [server.Address], pool => pool with { HttpVersion = System.Net.HttpVersion.Version20, Retry = new() { Attempts = 1 } });

        var probe = await ProbeAsync(new Uri(server.Address).Port, version: System.Net.HttpVersion.Version20);
        var answer = await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

        (probe!.Value.Succeeded, answer[9..12]).Should().Be((isGood, isGood ? "204" : "502"), probe.Value.Reason);
    }

    [Test]
    public async Task Probe_OneAddressOfTheNameRefuses_AnotherServes()
    {
        var host = "";
        await using var server = new RawServer(async (peer, _) =>
        {
            host = (await peer.ReadHeadAsync())!.Split("\r\n").Single(line => line.StartsWith("Host:", StringComparison.Ordinal));
            await peer.SendAsync("HTTP/1.1 204 No Content\r\n\r\n");
        });
        var backend = BackendAt("app.invalid", server.Port);
        backend.Hosts = new HostAddresses("app.invalid");
        backend.Hosts.Set([System.Net.IPAddress.Parse("127.0.0.2"), System.Net.IPAddress.Loopback]);

        var result = await ProbeAsync(backend);

        result!.Value.Succeeded.Should().BeTrue(result.Value.Reason);
        host.Should().Be($"Host: app.invalid:{server.Port}");
    }

    private static Backend BackendAt(string host, int port) =>
        new("a", new EndpointAddress("http", host, port), new BackendHealth(new(), TimeProvider.System));

    private Task<ProbeResult?> ProbeAsync(int port, TimeProvider? time = null, Version? version = null) =>
        ProbeAsync(BackendAt("127.0.0.1", port), time, version);

    private Task<ProbeResult?> ProbeAsync(Backend backend, TimeProvider? time = null, Version? version = null)
    {
        var options = new HealthCheckOptions { Path = "/healthz?deep=1" };
        version ??= System.Net.HttpVersion.Version11;
        return new HttpProbe(ProbeSender.SendAsync, _trust, options, version, time ?? TimeProvider.System)
            .ProbeAsync(backend, CancellationToken.None);
    }

    private sealed class RefusedAsItIsCancelled : IProbe
    {
        public async Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken)
        {
            using var stop = new CancellationTokenSource();
            return await IProbe.InTimeAsync(
                async _ =>
                {
                    await stop.CancelAsync();
                    throw new SocketException((int)SocketError.ConnectionRefused);
                },
                TimeSpan.FromSeconds(5), TimeProvider.System, stop.Token);
        }
    }
}
