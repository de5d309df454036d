using System.Collections.Concurrent;
using System.Net;
using LoadBalancer.Tcp;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Changes of the configuration under load, of which no client may notice anything.</summary>
internal sealed class ReloadUnderLoadTests
{
    private const int Reloads = 60;
    private const int Clients = 6;
    private const string OneAtATime = ", \"MaxInFlight\": 1";
    private const string Queue = "\"Queue\": { \"Limit\": 5, \"Timeout\": \"00:00:25\" },";
    private const string First = "\"Policy\": \"First\",";
    private const string Disabled = ", \"AdminState\": \"Disabled\"";

    private RawServer _one = null!;
    private RawServer _two = null!;

    [SetUp]
    public void SetUp() => (_one, _two) = (Named("one"), Named("two"));

    [TearDown]
    public async Task TearDownAsync()
    {
        await _one.DisposeAsync();
        await _two.DisposeAsync();
    }

    [TestCase("Http")]
    [TestCase("Tcp")]
    public Task Reload_PoolIsRenamed_LosesNothing(string protocol) => LosesNothingAsync(
        protocol,
        Json(protocol, "old", Pool("old", Backend("b1", _one, protocol))),
        Json(protocol, "new", Pool("new", Backend("b1", _one, protocol))));

    [TestCase("Http")]
    [TestCase("Tcp")]
    public Task Reload_ListenerLeadsToAnotherPoolAndTheOldOneGoes_LosesNothing(string protocol) => LosesNothingAsync(
        protocol,
        Json(protocol, "a", Pool("a", Backend("b1", _one, protocol))),
        Json(protocol, "b", Pool("b", Backend("b2", _two, protocol), "\"HealthCheck\": { \"Type\": \"Tcp\" },")));

    [TestCase("Http")]
    [TestCase("Tcp")]
    public Task Reload_OnlyBackendIsDisabledAndAnotherJoins_LosesNothing(string protocol) => LosesNothingAsync(
        protocol,
        Json(protocol, "web", Pool("web", $"{Backend("b1", _one, protocol)}, {Backend("b2", _two, protocol, Disabled)}")),
        Json(protocol, "web", Pool("web", $"{Backend("b1", _one, protocol, Disabled)}, {Backend("b3", _two, protocol)}")));

    [Test]
    public async Task Reload_ListenerLeavesAPoolWhoseBackendsAreAllDisabled_LeadsElsewhereBeforeThat()
    {
        await using var node = await ConfiguredNode.StartRawAsync(
            Json("Tcp", "a", $"{Pool("a", Backend("b1", _one, "Tcp"))}, {Pool("b", Backend("b2", _two, "Tcp", Disabled))}"));
        var (listener, other) = ((TcpRelayListener)node.Listener, node.FindPool("b")!);
        (string, int) atTheEnd = default;
        node.FindPool("a")!.SnapshotChanged += pool => atTheEnd = (listener.Target.Pool.Name, other.Snapshot.Eligible.Length);

        await node.ApplyAsync(
            Json("Tcp", "b", $"{Pool("a", Backend("b1", _one, "Tcp", Disabled))}, {Pool("b", Backend("b2", _two, "Tcp"))}"));

        atTheEnd.Should().Be(("b", 1));
        node.FindPool("a")!.Snapshot.Eligible.Should().BeEmpty();
    }

    [Test]
    public async Task Reload_RequestWaitsInTheQueueOfThePoolThatGoes_IsServed()
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = new RawServer(async (peer, number) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                arrived.TrySetResult();
                await answer.Task;
                await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
            }
        });
        await using var node = await ConfiguredNode.StartRawAsync(
            Json("Http", "old", Pool("old", Backend("b1", slow, "Http", OneAtATime), Queue)));
        var old = node.FindPool("old")!;
        var first = node.Client.GetStringAsync("/");
        await arrived.Task;
        var second = node.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => old.RequestQueue.Count == 1, "the second waits");

        await node.ApplyAsync(Json("Http", "new", Pool("new", Backend("b2", _two, "Http"))));
        (await node.Client.GetStringAsync("/")).Should().Be("two");
        answer.SetResult();

        (await first, await second).Should().Be(("slow", "slow"));
    }

    [Test]
    public async Task Reload_RequestIsTriedAgainInThePoolThatGoes_IsServed()
    {
        var (arrived, broken) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var breaking = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.SetResult();
            await broken.Task;
        });
        await using var node = await ConfiguredNode.StartRawAsync(
            Json("Http", "old", Pool("old", $"{Backend("b1", breaking, "Http")}, {Backend("b2", _one, "Http")}", First)));
        var get = node.Client.GetStringAsync("/");
        await arrived.Task;

        await node.ApplyAsync(Json("Http", "new", Pool("new", Backend("b1", _two, "Http"))));
        broken.SetResult();

        (await get).Should().Be("one");
    }

    [Test]
    public async Task Reload_ConnectionWaitsInTheQueueOfThePoolThatGoes_IsRelayed()
    {
        await using var node = await ConfiguredNode.StartRawAsync(
            Json("Tcp", "old", Pool("old", Backend("b1", _one, "Tcp", OneAtATime), Queue)));
        var old = node.FindPool("old")!;
        using var first = await RawPeer.ConnectAsync(node.Port);
        await first.SendAsync("GET / HTTP/1.1\r\n\r\n");
        (await first.ReadResponseAsync()).Should().EndWith("one");
        using var second = await RawPeer.ConnectAsync(node.Port);
        await second.SendAsync("GET / HTTP/1.1\r\n\r\n");
        await Eventually.BeTrueAsync(() => old.RequestQueue.Count == 1, "the second waits");

        await node.ApplyAsync(Json("Tcp", "new", Pool("new", Backend("b2", _two, "Tcp"))));
        first.EndSending();

        (await second.ReadResponseAsync()).Should().EndWith("one");
    }

    // Makes one configuration follow the other while clients ask all the time.
    private static async Task LosesNothingAsync(string protocol, string first, string second)
    {
        await using var node = await ConfiguredNode.StartRawAsync(first);
        var answers = new ConcurrentDictionary<string, int>();
        using var done = new CancellationTokenSource();
        var clients = Enumerable.Range(0, Clients).Select(_ => Task.Run(() => AskAsync(node.Port, protocol, answers, done.Token))).ToList();

        for (var i = 1; i <= Reloads; i++)
        {
            var wanted = answers.Values.Sum() + (5 * Clients);
            await Eventually.BeTrueAsync(() => answers.Values.Sum() >= wanted, "requests are answered");
            await node.ApplyAsync(i % 2 == 0 ? first : second);
        }
        await done.CancelAsync();
        await Task.WhenAll(clients);

        answers.Should().OnlyContain(answer => answer.Key == "one" || answer.Key == "two");
    }

    // Counts the answers, by what they are.
    private static async Task AskAsync(int port, string protocol, ConcurrentDictionary<string, int> answers, CancellationToken done)
    {
        using var client = new HttpClient(TestNode.NewHandler()) { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        client.DefaultRequestHeaders.ConnectionClose = protocol == "Tcp"; // Each connection is relayed anew.
        while (!done.IsCancellationRequested)
        {
            string answer;
            try
            {
                using var response = await client.GetAsync(new Uri("/", UriKind.Relative), CancellationToken.None);
                var text = await response.Content.ReadAsStringAsync(CancellationToken.None);
                answer = response.StatusCode == HttpStatusCode.OK ? text : response.StatusCode.ToString();
            }
            catch (HttpRequestException e)
            {
                answer = e.Message;
            }
            answers.AddOrUpdate(answer, 1, (_, count) => count + 1);
        }
    }

    private static RawServer Named(string name) => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            var isLast = head.Contains("Connection: close", StringComparison.Ordinal);
            var close = isLast ? "Connection: close\r\n" : "";
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n{close}\r\n{name}");
            if (isLast)
            {
                return;
            }
        }
    });

    private static string Backend(string name, RawServer server, string protocol, string more = "") =>
        $"\"{name}\": {{ \"Address\": \"{Scheme(protocol)}://127.0.0.1:{server.Port}\"{more} }}";

    private static string Pool(string name, string backends, string settings = "") =>
        $"\"{name}\": {{ {settings} \"Backends\": {{ {backends} }} }}";

    private static string Json(string protocol, string pool, string pools) => $$"""
        { "LoadBalancer": {
            "Listeners": { "entry": { "Protocol": "{{protocol}}", "Address": "{{Scheme(protocol)}}://127.0.0.1:0", "Pool": "{{pool}}" } },
            "Pools": { {{pools}} } } }
        """;

    private static string Scheme(string protocol) => protocol == "Tcp" ? "tcp" : "http";
}
