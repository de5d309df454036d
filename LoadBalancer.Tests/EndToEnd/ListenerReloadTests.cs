using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Listeners that come, go, move and change while the node runs.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ListenerReloadTests : IAsyncDisposable
{
    private readonly RawServer _backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    private readonly int _port = ReservedPorts.Next();
    private readonly int _other = ReservedPorts.Next();

    public async ValueTask DisposeAsync() => await _backend.DisposeAsync();

    [Test]
    public async Task Listener_Added_Serves()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));

        await node.ApplyAsync(Json($"{Http("web", _port)}, {Http("more", _other)}"));

        node.Listeners.Select(listener => listener.Address).Should().Equal($"http://127.0.0.1:{_port}", $"http://127.0.0.1:{_other}");
        (await GetAsync(_other)).Should().Be("one");
        (await GetAsync(_port)).Should().Be("one");
    }

    [Test]
    public async Task Listener_Removed_EndsAsInAStop()
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = RawServer.AnsweringWhen(answer.Task, arrived, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        await using var node = await ConfiguredNode.StartRawAsync(
            Json($"{Http("web", _port)}, {Http("gone", _other)}", slow.Address));
        using var client = new HttpClient(TestNode.NewHandler());
        var get = client.GetStringAsync(new Uri($"http://127.0.0.1:{_other}/"));
        await arrived.Task;

        await node.ApplyAsync(Json(Http("web", _port), slow.Address));

        await RawPeer.RefusedAsync(_other);
        answer.SetResult();
        (await get).Should().Be("slow");
        node.Listeners.Should().ContainSingle();
    }

    [Test]
    public async Task Listener_Removed_NextAnswerOfAKeptConnectionIsItsLast()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json($"{Http("web", _port)}, {Http("gone", _other)}"));
        using var kept = await RawPeer.ConnectAsync(_other);
        await kept.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await kept.ReadResponseAsync()).Should().NotContain("Connection: close");

        await node.ApplyAsync(Json(Http("web", _port)));

        await kept.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await kept.ReadToEndAsync()).Should().Contain("Connection: close").And.EndWith("one");
    }

    [Test]
    public async Task Listener_RemovedWithHttp2_SendsGoAwayAndAnswers()
    {
        await using var node = await ConfiguredNode.StartRawAsync(
            Json($"{Http("web", _port)}, {Http("gone", _other, "\"HttpVersion\": \"2\",")}"));
        using var peer = await Http2Peer.ConnectAsync(_other);
        (await peer.NextFrameAsync()).Should().NotBeNull("the connection was accepted, and SETTINGS came");

        await node.ApplyAsync(Json(Http("web", _port)));

        await peer.SendRequestAsync(1, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"));
        var seen = new List<byte>();
        while (await peer.NextFrameAsync() is { } frame)
        {
            seen.Add(frame.Type);
        }
        seen.Should().Contain([0, 7], "the stream is answered, and GOAWAY tells that it is the last");
    }

    [Test]
    public async Task Listener_Moved_ServesAtTheNewAddressAlone()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));

        await node.ApplyAsync(Json(Http("web", _other)));

        (await GetAsync(_other)).Should().Be("one");
        await RawPeer.RefusedAsync(_port);
    }

    [TestCase("*")]
    [TestCase("0.0.0.0")]
    [TestCase("localhost")]
    public async Task Listener_MovedToMoreAddressesAndBack_Serves(string more)
    {
        Assume.That(ListenSockets.CanShare, "elsewhere a port that the program has itself is taken");
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));

        await node.ApplyAsync(Json(Http("web", _port).Replace("127.0.0.1", more, StringComparison.Ordinal)));
        (await GetAsync(_port)).Should().Be("one");
        node.Listener.Address.Should().EndWith($":{_port}");

        await node.ApplyAsync(Json(Http("web", _port)));
        (await GetAsync(_port)).Should().Be("one");
        node.Listener.Address.Should().Be($"http://127.0.0.1:{_port}");
    }

    [Test]
    public async Task Listeners_SwapTheirAddresses_BothServe()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json($"{Http("a", _port)}, {Http("b", _other)}"));

        await node.ApplyAsync(Json($"{Http("a", _other)}, {Http("b", _port)}"));

        node.Listeners.Select(listener => listener.Address).Should().Equal($"http://127.0.0.1:{_other}", $"http://127.0.0.1:{_port}");
        (await GetAsync(_port), await GetAsync(_other)).Should().Be(("one", "one"));
    }

    [Test]
    public async Task Listener_ReplacedUnderLoad_LosesNothing()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));
        await using var kept = new Load($"http://127.0.0.1:{_port}/");
        var connections = 0;
        using var stop = new CancellationTokenSource();
        var opening = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                (await GetAsync(_port)).Should().Be("one");
                connections++;
                await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System); // The system has some 28,000 ports for a minute.
            }
        });

        for (var i = 0; i < 10; i++)
        {
            await node.ApplyAsync(Json(Http("web", _port, i % 2 == 0 ? "\"StatusEndpoints\": true," : "")));
            await kept.AnsweredAsync(20);
        }

        await stop.CancelAsync();
        await opening;
        connections.Should().BePositive();
        kept.Statuses.Should().OnlyContain(status => status == HttpStatusCode.OK);
    }

    [Test]
    public async Task Listener_OfAnotherProtocolAtTheSameAddress_TakesItsPlace()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));

        await node.ApplyAsync(Json(Tcp("web", _port), scheme: "tcp"));

        using var client = await RawPeer.ConnectAsync(_port);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadResponseAsync()).Should().EndWith("one").And.NotContain("Via", "it is relayed");
        node.Listeners.Should().ContainSingle().Which.Should().BeOfType<LoadBalancer.Tcp.TcpRelayListener>();
    }

    [Test]
    public async Task Listener_OfTcpRemoved_IsCutAfterTheShutdownTimeout()
    {
        await using var echo = RawServer.Echoing();
        var after = $"\"ShutdownTimeout\": \"00:00:00.2\", {Listeners(Tcp("web", _port))}, {Pools(echo.Address, "tcp")}";
        await using var node = await ConfiguredNode.StartRawAsync(
            Json($"{Tcp("web", _port)}, {Tcp("gone", _other)}", echo.Address, "tcp"));
        using var client = await RawPeer.ConnectAsync(_other);
        await client.SendAsync("hello");
        (await client.ReadAsync(5)).Should().Be("hello");

        await node.ApplyAsync($"{{ \"LoadBalancer\": {{ {after} }} }}");
        await client.SendAsync("again");
        (await client.ReadAsync(5)).Should().Be("again", "it goes on");

        (await client.ReadToItsEndAsync()).Text.Should().BeEmpty("it is cut");
        await node.Log.SaysAsync("Warning: listener 'gone' was removed or replaced: it waits no longer, and cuts off 1 connection");
    }

    [Test]
    public async Task Port_Taken_NothingIsApplied()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));
        using var taken = new TcpListener(IPAddress.Loopback, _other);
        taken.Start();
        var free = ReservedPorts.Next();

        var apply = () => node.ApplyAsync(Json($"{Http("web", free)}, {Http("more", _other)}"));

        (await apply.Should().ThrowAsync<LoadBalancer.Diagnostics.StartException>()).WithMessage(
            $"listener 'more': cannot listen on http://127.0.0.1:{_other}: the port is taken by another program");
        (await GetAsync(_port)).Should().Be("one");
        await RawPeer.RefusedAsync(free);
        node.Listeners.Should().ContainSingle();
    }

    [Test]
    public async Task Port_OfManagementTakenAtOneOfItsAddresses_NothingIsApplied()
    {
        Assume.That(Socket.OSSupportsIPv6, "localhost is one address only");
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port)));
        using var taken = new TcpListener(IPAddress.IPv6Loopback, _other);
        taken.Start();

        var apply = () => node.ApplyAsync(Json(Http("web", _port)).Replace(
            "\"Listeners\"", $"\"Management\": {{ \"Address\": \"http://localhost:{_other}\" }}, \"Listeners\"", StringComparison.Ordinal));

        (await apply.Should().ThrowAsync<LoadBalancer.Diagnostics.StartException>()).WithMessage(
            $"management: cannot listen on http://localhost:{_other}: the port is taken by another program");
        await RawPeer.RefusedAsync(_other); // over IPv4
    }

    [Test]
    public async Task AccessLog_Changed_GetsTheLinesThatFollow()
    {
        using var directory = new TemporaryDirectory();
        string Log(string name) => $"\"AccessLog\": \"{directory.File(name)}\",";
        await using var node = await ConfiguredNode.StartRawAsync(Json(Http("web", _port, Log("a.log"))));
        await GetAsync(_port, "/first");

        await node.ApplyAsync(Json(Http("web", _port, Log("b.log"))));
        await GetAsync(_port, "/second");

        bool Has(string log, string text) => File.ReadAllText(directory.File(log)).Contains(text, StringComparison.Ordinal);
        await Eventually.BeTrueAsync(() => Has("b.log", "/second"), "it is written");
        await Eventually.BeTrueAsync(() => Has("a.log", "/first"), "so was the first");
        File.ReadAllText(directory.File("a.log")).Should().NotContain("/second");
    }

    [Test]
    public async Task Management_AddedMovedAndRemoved_AnswersAccordingly()
    {
        string With(string management) =>
            $"{{ \"LoadBalancer\": {{ {management} {Listeners(Http("web", _port))}, {Pools(_backend.Address, "http")} }} }}";
        await using var node = await ConfiguredNode.StartRawAsync(With(""));
        var third = ReservedPorts.Next();

        await node.ApplyAsync(With($"\"Management\": {{ \"Address\": \"http://127.0.0.1:{_other}\" }},"));
        (await GetAsync(_other, "/api/node")).Should().Contain("uptimeSeconds");
        (await GetAsync(_other, "/api/pools")).Should().Contain("b1");

        await node.ApplyAsync(With($"\"Management\": {{ \"Address\": \"http://127.0.0.1:{third}\", \"Token\": \"abc\" }},"));
        await RawPeer.RefusedAsync(_other);
        (await GetAsync(third, "/api/node")).Should().Contain("the token is missing or wrong");

        await node.ApplyAsync(With(""));
        await RawPeer.RefusedAsync(third);
    }

    private static async Task<string> GetAsync(int port, string path = "/")
    {
        var answer = await RawPeer.ExchangeAsync(port, $"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        return answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
    }

    private string Json(string listeners, string? backend = null, string scheme = "http") =>
        $"{{ \"LoadBalancer\": {{ {Listeners(listeners)}, {Pools(backend ?? _backend.Address, scheme)} }} }}";

    private static string Listeners(string listeners) => $"\"Listeners\": {{ {listeners} }}";

    private static string Pools(string backend, string scheme) =>
        $$"""
        "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend.Replace("http:", scheme + ":", StringComparison.Ordinal)}}" } } } }
        """;

    private static string Http(string name, int port, string settings = "") =>
        $"\"{name}\": {{ {settings} \"Address\": \"http://127.0.0.1:{port}\", \"Pool\": \"web\" }}";

    private static string Tcp(string name, int port) =>
        $"\"{name}\": {{ \"Protocol\": \"Tcp\", \"Address\": \"tcp://127.0.0.1:{port}\", \"Pool\": \"web\" }}";
}
