using System.Collections.Concurrent;
using System.Diagnostics;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Tracing;

/// <summary>The spans of requests and attempts, and what backends get of them.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TracingTests : IDisposable
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = $"00-{Trace}-b7ad6b7169203331-01";

    private readonly ConcurrentQueue<Activity> _ended = new();
    private readonly ActivityListener _listener;
    private readonly string _host = $"t{Guid.NewGuid():N}.test"; // The spans of other tests are not ours.

    public TracingTests()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == NodeTracing.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    [Test]
    public async Task Request_OfASampledTrace_HasASpanAndOneForItsAttempt()
    {
        await using var backend = Echo();
        await using var node = await StartAsync(0, backend.Address, routes: """{ "Name": "api", "Path": "/api", "Pool": "web" }""");

        var answer = await AskAsync(
            node, "GET /api/x?secret=1", $"traceparent: {Parent}\r\ntracestate: a=1\r\ntracestate: b=2\r\nUser-Agent: it/1\r\n");

        var (server, clients) = await SpansAsync(1);
        (server.ParentSpanId.ToHexString(), server.TraceId.ToHexString()).Should().Be(("b7ad6b7169203331", Trace));
        server.DisplayName.Should().Be("GET /api");
        Tags(server).Should().Equal(
            "client.address=127.0.0.1", "http.request.method=GET", "http.response.status_code=200", "http.route=/api",
            "loadbalancer.route=api", "network.protocol.version=1.1", $"server.address={_host}", $"server.port={node.Port}",
            "url.path=/api/x", "url.scheme=http", "user_agent.original=it/1");
        server.Status.Should().Be(ActivityStatusCode.Unset);
        var client = clients.Single();
        client.ParentSpanId.Should().Be(server.SpanId);
        client.DisplayName.Should().Be("GET");
        Tags(client).Should().Equal(
            "http.request.method=GET", "http.response.status_code=200", "loadbalancer.backend=b1", "loadbalancer.pool=web",
            "network.protocol.version=1.1", "server.address=127.0.0.1", $"server.port={new Uri(backend.Address).Port}",
            $"url.full={backend.Address}/api/x");
        answer.Should().Contain($"\r\ntraceparent: 00-{Trace}-{client.SpanId}-01\r\n").And.Contain("\r\ntracestate: a=1\r\n")
            .And.Contain("\r\ntracestate: b=2\r\n").And.NotContain("b7ad6b7169203331");
    }

    [TestCase("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", 1)] // The trace is not sampled.
    [TestCase("00-00000000000000000000000000000000-b7ad6b7169203331-01", 0)] // It is not valid, and so none.
    [TestCase("x", 0)]
    [TestCase("00x0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 0)]
    [TestCase("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331x01", 0)]
    [TestCase("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", 0)]
    [TestCase("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", 0)]
    [TestCase("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", 0)]
    [TestCase("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 0)]
    public async Task Request_NotSampled_PassesAsItCame(string parent, int sample)
    {
        await using var backend = Echo();
        await using var node = await StartAsync(sample, backend.Address);

        var answer = await AskAsync(node, "GET /", $"traceparent: {parent}\r\ntracestate: a=1\r\n");

        answer.Should().Contain($"\r\ntraceparent: {parent}\r\n").And.Contain("\r\ntracestate: a=1\r\n");
        Ours().Should().BeEmpty();
    }

    [Test]
    public async Task Request_WithoutATrace_BeginsOneForTheShare()
    {
        await using var backend = Echo();
        await using (var none = await StartAsync(0, backend.Address))
        {
            (await AskAsync(none, "GET /", "")).Should().NotContainEquivalentOf("traceparent");
        }
        await using var all = await StartAsync(1, backend.Address);

        var answer = await AskAsync(all, "GET /", "");

        var (server, clients) = await SpansAsync(1);
        server.ParentSpanId.Should().Be(default(ActivitySpanId));
        answer.Should().Contain($"\r\ntraceparent: 00-{server.TraceId}-{clients.Single().SpanId}-01\r\n");
    }

    [TestCase("00-00000000000000000000000000000000-b7ad6b7169203331-01")]
    [TestCase("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")]
    [TestCase("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    [TestCase("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")]
    [TestCase("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: x")]
    [TestCase("")]
    public async Task Request_TraceIsNotValid_BeginsANewOne(string parent)
    {
        await using var backend = Echo();
        await using var node = await StartAsync(1, backend.Address);

        var answer = await AskAsync(node, "GET /", $"traceparent: {parent}\r\ntracestate: a=1\r\n");

        var (server, clients) = await SpansAsync(1);
        server.TraceId.ToHexString().Should().NotBe(Trace);
        server.ParentSpanId.Should().Be(default(ActivitySpanId));
        answer.Split("\r\n").Where(line => line.StartsWith("trace", StringComparison.OrdinalIgnoreCase))
            .Should().Equal($"traceparent: 00-{server.TraceId}-{clients.Single().SpanId}-01");
    }

    [Test]
    public async Task Retry_AfterAFailedAttempt_IsASiblingSpan()
    {
        await using var broken = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var backend = Echo();
        await using var node = await StartAsync(1, broken.Address, backend.Address, pool: "\"Policy\": \"First\",");

        (await AskAsync(node, "GET /", "")).Should().StartWith("HTTP/1.1 200");

        var (server, clients) = await SpansAsync(2);
        clients.Should().OnlyContain(client => client.ParentSpanId == server.SpanId);
        Tags(clients[0]).Should().Contain("error.type=connection_terminated").And.Contain("loadbalancer.backend=b1");
        clients[0].Status.Should().Be(ActivityStatusCode.Error);
        Tags(clients[1]).Should().Contain("http.request.resend_count=1").And.Contain("loadbalancer.attempt=retry")
            .And.Contain("loadbalancer.backend=b2");
        server.Status.Should().Be(ActivityStatusCode.Unset);
    }

    [Test]
    public async Task Hedge_FirstAttemptIsSlow_IsASiblingSpanAndTheFirstIsCancelled()
    {
        await using var slow = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                // It never answers.
            }
        });
        await using var backend = Echo();
        await using var node = await StartAsync(
            1, slow.Address, backend.Address, pool: "\"Policy\": \"First\", \"Hedge\": { \"After\": \"1ms\" },");

        (await AskAsync(node, "GET /", "")).Should().StartWith("HTTP/1.1 200");

        var (server, clients) = await SpansAsync(2);
        clients.Should().OnlyContain(client => client.ParentSpanId == server.SpanId);
        Tags(clients.Single(client => Tags(client).Contains("loadbalancer.backend=b1"))).Should().Contain("error.type=cancelled");
        Tags(clients.Single(client => Tags(client).Contains("loadbalancer.backend=b2"))).Should().Contain("loadbalancer.attempt=hedge")
            .And.Contain("http.response.status_code=200");
    }

    [Test]
    public async Task Request_NoBackendAnswers_SaysWhyInTheSpan()
    {
        await using var node = await StartAsync(1, $"http://127.0.0.1:{ReservedPorts.Next()}");

        (await AskAsync(node, "QUERY /", "")).Should().StartWith("HTTP/1.1 502");

        var (server, clients) = await SpansAsync(1);
        Tags(server).Should().Contain("error.type=connection_refused").And.Contain("http.response.status_code=502")
            .And.Contain("http.request.method=_OTHER").And.Contain("http.request.method_original=QUERY");
        (server.DisplayName, server.Status).Should().Be(("HTTP", ActivityStatusCode.Error));
        Tags(clients.Single()).Should().Contain("error.type=connection_refused");
    }

    [Test]
    public async Task Response_BreaksOff_IsAnErrorOfBothSpans()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        });
        await using var node = await StartAsync(1, backend.Address);

        await AskAsync(node, "GET /", "");

        var (server, clients) = await SpansAsync(1);
        Tags(server).Should().Contain("error.type=http_response_incomplete").And.Contain("http.response.status_code=200");
        Tags(clients.Single()).Should().Contain("error.type=http_response_incomplete");
        server.Status.Should().Be(ActivityStatusCode.Error);
    }

    [Test]
    public async Task Client_LeavesBeforeTheAnswer_CancelsBothSpans()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                // It never answers.
            }
        });
        await using var node = await StartAsync(1, backend.Address);

        using (var client = await RawPeer.ConnectAsync(node.Port))
        {
            await client.SendAsync($"GET / HTTP/1.1\r\nHost: {_host}\r\n\r\n");
            await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is with the backend");
        }

        var (server, clients) = await SpansAsync(1);
        foreach (var span in clients.Prepend(server))
        {
            Tags(span).Should().Contain("error.type=cancelled").And.NotContain(tag => tag.StartsWith("http.response"));
            span.Status.Should().Be(ActivityStatusCode.Unset);
        }
    }

    [Test]
    public async Task Request_OfARouteThatAnswersItself_HasASpan()
    {
        await using var node = await StartAsync(1, "http://127.0.0.1:1", routes: """{ "Respond": { "Status": 404 } }""");

        await AskAsync(node, "GET /", "");

        var (server, clients) = await SpansAsync(0);
        Tags(server).Should().Contain("http.response.status_code=404").And.Contain("loadbalancer.route=1");
        clients.Should().BeEmpty();
    }

    [Test]
    public async Task Request_ToAnHttp2Backend_HasTheSpanToo()
    {
        var seen = "";
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                seen = string.Join(" + ", context.Request.Headers.TraceParent.ToArray());
                return Task.CompletedTask;
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(0, backend.Address, pool: "\"HttpVersion\": \"2\",");

        await AskAsync(node, "GET /", $"traceparent: {Parent}\r\n");

        var (_, clients) = await SpansAsync(1);
        seen.Should().Be($"00-{Trace}-{clients.Single().SpanId}-01");
        Tags(clients.Single()).Should().Contain("network.protocol.version=2");
    }

    [Test]
    public async Task Route_RemovesTheField_BackendGetsNone()
    {
        await using var backend = Echo();
        await using var node = await StartAsync(
            1, backend.Address, routes: """{ "Pool": "web", "RequestHeaders": { "Remove": [ "traceparent" ] } }""");

        (await AskAsync(node, "GET /", $"traceparent: {Parent}\r\n")).Should().NotContain("traceparent");
    }

    [Test]
    public async Task AccessLog_TraceBeginsHere_HasItsIdentifier()
    {
        using var directory = new TemporaryDirectory();
        await using var backend = Echo();
        await using var node = await StartAsync(
            1, backend.Address, listener: $"\"AccessLog\": \"{directory.File("access.log")}\", \"AccessLogFormat\": [ \"traceId\" ],");

        await AskAsync(node, "GET /", "");

        var (server, _) = await SpansAsync(1);
        await Eventually.BeTrueAsync(
            async () => await File.ReadAllTextAsync(directory.File("access.log")) == $"{{\"traceId\":\"{server.TraceId}\"}}\n",
            "the line is written");
    }

    [Test]
    public async Task Reload_TracingComesAndGoes_IsApplied()
    {
        await using var backend = Echo();
        await using var node = await StartAsync(1, backend.Address);

        await node.ApplyAsync(Configuration(null, [backend.Address]));
        var off = await AskAsync(node, "GET /", $"traceparent: {Parent}\r\n");
        await node.ApplyAsync(Configuration(0.5, [backend.Address]));

        off.Should().Contain(Parent);
        (await AskAsync(node, "GET /", $"traceparent: {Parent}\r\n")).Should().NotContain(Parent).And.Contain($"traceparent: 00-{Trace}-");
    }

    public void Dispose() => _listener.Dispose();

    private static RawServer Echo() => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
        }
    });

    private static Task<ConfiguredNode> StartAsync(
        double sample, string backend, string? backend2 = null, string pool = "", string routes = "", string listener = "") =>
        StartAsync(sample, backend2 is null ? [backend] : [backend, backend2], pool, routes, listener);

    private static Task<ConfiguredNode> StartAsync(double sample, string[] backends, string pool, string routes, string listener) =>
        ConfiguredNode.StartRawAsync(Configuration(sample, backends, pool, routes, listener));

    private static string Configuration(
        double? sample, string[] backends, string pool = "", string routes = "", string listener = "") => $$"""
        { "LoadBalancer": {
            "Tracing": {{(sample is null ? "null" : FormattableString.Invariant($"{{ \"Sample\": {sample} }}"))}},
            "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", {{listener}} "Routes": [ {{routes}} ] } },
            "Pools": { "web": { {{pool}} "Backends": {
                {{string.Join(", ", backends.Index().Select(Backend))}} } } } } }
        """;

    private static string Backend((int Index, string Item) entry) =>
        $"\"b{entry.Index + 1}\": {{ \"Address\": \"{entry.Item}\" }}";

    private Task<string> AskAsync(ConfiguredNode node, string line, string fields) =>
        RawPeer.ExchangeAsync(node.Port, $"{line} HTTP/1.1\r\nHost: {_host}:{node.Port}\r\n{fields}Connection: close\r\n\r\n");

    private List<Activity> Ours()
    {
        var servers = _ended.Where(span => span.Kind == ActivityKind.Server && _host.Equals(span.GetTagItem("server.address"))).ToList();
        var clients = _ended.Where(span => servers.Exists(server => server.SpanId == span.ParentSpanId));
        return [.. servers, .. clients.OrderBy(span => span.StartTimeUtc)];
    }

    // They end a moment after the client has its answer.
    private async Task<(Activity Server, List<Activity> Clients)> SpansAsync(int attempts)
    {
        await Eventually.BeTrueAsync(() => Ours().Count == attempts + 1, "the spans end");
        var spans = Ours();
        return (spans[0], spans[1..]);
    }

    private static IEnumerable<string> Tags(Activity span) =>
        span.TagObjects.Select(tag => $"{tag.Key}={tag.Value}").Order(StringComparer.Ordinal);
}
