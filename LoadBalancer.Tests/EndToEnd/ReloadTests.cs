using System.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A configuration file that changes while the node runs.</summary>
internal sealed class ReloadTests
{
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

    [Test]
    public async Task Change_BackendAdded_JoinsAndTheOtherKeepsEverything()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));
        await node.Client.GetStringAsync("/");
        var before = node.Pool.Snapshot.Members[0];

        await node.ReloadedAsync(() => node.WriteAsync(Pool($"{Backend("b1", _one)}, {Backend("b2", _two)}")));

        node.Pool.Snapshot.Members.Select(backend => backend.Name).Should().Equal("b1", "b2");
        node.Pool.Snapshot.Members[0].Should().BeSameAs(before).And.BeEquivalentTo(new { Requests = 1 });
        (await AnswersAsync(node, 4)).Should().BeEquivalentTo("one", "one", "two", "two");
        _one.Accepted.Should().Be(1, "its connection was kept");
    }

    [Test]
    public async Task Change_BackendRemoved_FinishesWhatItHas()
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = RawServer.AnsweringWhen(answer.Task, arrived, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", slow)));
        var get = node.Client.GetStringAsync("/");
        await arrived.Task;

        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b2", _two))));

        (await AnswersAsync(node, 3)).Should().Equal("two", "two", "two");
        answer.SetResult();
        (await get).Should().Be("slow");
    }

    [Test]
    public async Task Change_AddressOfABackend_MakesItAnother()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));
        await node.Client.GetStringAsync("/");

        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b1", _two))));

        (await AnswersAsync(node, 2)).Should().Equal("two", "two");
        node.Pool.Snapshot.Members.Single().Requests.Should().Be(2);
    }

    [Test]
    public async Task Change_WeightStateAndPolicy_HoldForTheNextRequests()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool($"{Backend("b1", _one)}, {Backend("b2", _two)}"));

        await node.ReloadedAsync(() => node.WriteAsync(Pool($"{Backend("b1", _one, ", \"Weight\": 3")}, {Backend("b2", _two)}")));
        (await AnswersAsync(node, 8)).Count(answer => answer == "one").Should().Be(6);
        await node.ReloadedAsync(() =>
            node.WriteAsync(Pool($"{Backend("b1", _one, ", \"AdminState\": \"Draining\"")}, {Backend("b2", _two)}")));
        (await AnswersAsync(node, 4)).Should().OnlyContain(answer => answer == "two");
        await node.ReloadedAsync(() => node.WriteAsync(Pool($"{Backend("b2", _two)}, {Backend("b1", _one)}", "\"Policy\": \"First\",")));
        (await AnswersAsync(node, 4)).Should().OnlyContain(answer => answer == "two");
        node.Pool.Snapshot.Policy.Name.Should().Be("First");
    }

    [Test]
    public async Task Change_WhatAnOperatorHasSet_StaysUnlessTheFileSaysSomethingElseThanBefore()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool($"{Backend("b1", _one)}, {Backend("b2", _two)}"));
        var backend = node.Pool.Snapshot.Members[0];
        node.Pool.Change(() => (backend.AdminState, backend.Weight) = (AdminState.Draining, 7));

        await node.ReloadedAsync(() => node.WriteAsync(Pool($"{Backend("b1", _one)}, {Backend("b2", _two, ", \"Weight\": 2")}")));
        (backend.AdminState, backend.Weight).Should().Be((AdminState.Draining, 7));

        await node.ReloadedAsync(() => node.WriteAsync(Pool($"{Backend("b1", _one, ", \"Weight\": 5")}, {Backend("b2", _two)}")));
        (backend.AdminState, backend.Weight).Should().Be((AdminState.Draining, 5));
    }

    [Test]
    public async Task Change_RoutesAndPools_AreFollowed()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));
        var pools = $"{{ \"web\": {{ \"Backends\": {{ {Backend("b1", _one)} }} }}, \"api\": {{ \"Backends\": {{ {Backend("b2", _two)} }} " +
            $"}} }}";

        await node.ReloadedAsync(() => node.WriteAsync(pools, "\"Routes\": [ { \"Path\": \"/api\", \"Pool\": \"api\" } ],"));

        (await node.Client.GetStringAsync("/")).Should().Be("one");
        (await node.Client.GetStringAsync("/api/x")).Should().Be("two");
        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b1", _one))));
        (await node.Client.GetStringAsync("/api/x")).Should().Be("one");
        node.FindPool("api").Should().BeNull();
    }

    [TestCase("{ broken")]
    [TestCase("{ \"LoadBalancer\": { \"Listeners\": {}, \"Pools\": {} } }")]
    public async Task Change_Invalid_ChangesNothingAndTheNextGoodOneIsApplied(string broken)
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));

        await node.ReloadedAsync(() => node.WriteRawAsync(broken));

        (node.Reloader.Applied, node.Reloader.Refused).Should().Be((0, 1));
        (await node.Client.GetStringAsync("/")).Should().Be("one");
        (await node.Management.GetStringAsync("/metrics")).Should().Contain("loadbalancer_config_reloads_total{result=\"error\"} 1\n");
        await node.Log.SaysAsync("Error: configuration: ", "is invalid, so nothing changes");
        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b2", _two))));
        (await node.Client.GetStringAsync("/")).Should().Be("two");
        (await node.Management.GetStringAsync("/metrics")).Should().Contain("loadbalancer_config_reloads_total{result=\"success\"} 1\n");
    }

    [Test]
    public async Task Change_WhoseKeyCannotBeRead_ChangesNothingAnywhere()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));

        await node.ReloadedAsync(() => node.WriteAsync(
            $"{{ \"web\": {{ \"Backends\": {{ {Backend("b2", _two)} }} }}, " +
                $"\"zzz\": {{ \"StickySession\": {{ \"KeyFile\": \"/dev/null/key\" }}, \"Backends\": {{ {Backend("b2", _two)} }} }} }}"));

        node.Reloader.Refused.Should().Be(1);
        (await AnswersAsync(node, 2)).Should().Equal("one", "one");
        node.FindPool("zzz").Should().BeNull();
        await node.Log.SaysAsync("Error: configuration: ", "pool 'zzz': the key of its sticky sessions cannot be read");
    }

    [Test]
    public async Task Change_OfLimits_HoldsInTheSameListener()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", _one)));
        var listener = node.Listener;

        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b2", _two)), "\"MaxConnections\": 1, \"MaxRequestBodySize\": 3,"));

        node.Listener.Should().BeSameAs(listener);
        (await node.Client.GetStringAsync("/")).Should().Be("two");
        using var answer = await node.Client.PostAsync("/", new StringContent("more"));
        answer.StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        using var surplus = await RawPeer.ConnectAsync(node.Port);
        (await surplus.ReadToEndAsync()).Should().BeEmpty("it is closed at once");
        node.Listener.Refused.Should().Be(1);
    }

    [Test]
    public async Task Change_TimeoutsUnderLoadWithSlowAnswers_LosesNoRequest()
    {
        var arrived = new SemaphoreSlim(0);
        var answer = new TaskCompletionSource();
        await using var slow = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                arrived.Release();
                await answer.Task;
                await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
            }
        });
        await using var node = await ConfiguredNode.StartAsync(Pool(Backend("b1", slow)));
        var gets = Enumerable.Range(0, 10).Select(_ => node.Client.GetStringAsync("/")).ToList();
        for (var i = 0; i < 10; i++)
        {
            await arrived.WaitAsync();
        }

        await node.ReloadedAsync(() => node.WriteAsync(Pool(Backend("b1", slow), "\"Timeouts\": { \"Idle\": \"00:00:10\" },")));
        answer.SetResult();

        (await Task.WhenAll(gets)).Should().OnlyContain(text => text == "slow");
        (await node.Client.GetStringAsync("/")).Should().Be("slow", "connections are made anew");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Load_WhileTheFileIsRewrittenAllTheTime_LosesNoRequest()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool($"{Backend("b1", _one)}, {Backend("b2", _two)}"));
        var first = node.Pool.Snapshot.Members[0];
        using var done = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            for (; !done.IsCancellationRequested; count++)
            {
                (await node.Client.GetStringAsync("/")).Should().BeOneOf("one", "two");
            }
            return count;
        })).ToList();

        string[] files =
        [
            Pool(Backend("b1", _one)), Pool($"{Backend("b1", _one, ", \"Weight\": 9")}, {Backend("b2", _two)}"),
                Pool($"{Backend("b1", _one)}, {Backend("b3", _two)}", "\"Policy\": \"LeastConnections\","),
            Pool($"{Backend("b1", _one)}, {Backend("b2", _two)}", "\"Timeouts\": { \"Connect\": \"00:00:03\" }, \"HealthCheck\": {},"),
        ];
        for (var i = 0; i < 8; i++)
        {
            await node.ReloadedAsync(() => i % 3 == 2 ? node.WriteRawAsync($"{{ broken {i}") : node.WriteAsync(files[i % files.Length]));
        }
        await done.CancelAsync();

        (await Task.WhenAll(load)).Should().OnlyContain(count => count > 0);
        node.Reloader.Refused.Should().Be(2);
        node.Pool.Snapshot.Members[0].Should().BeSameAs(first, "it was in every file");
        node.Log.Lines.Should().NotContain(line => line.Contains("Exception"));
    }

    private static RawServer Named(string name) => RawServer.Answering($"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n\r\n{name}");

    private static string Backend(string name, RawServer server, string more = "") =>
        $"\"{name}\": {{ \"Address\": \"{server.Address}\"{more} }}";

    private static string Pool(string backends, string settings = "") => $"{{ \"web\": {{ {settings} \"Backends\": {{ {backends} }} }} }}";

    private static async Task<List<string>> AnswersAsync(ConfiguredNode node, int count)
    {
        var answers = new List<string>();
        for (var i = 0; i < count; i++)
        {
            answers.Add(await node.Client.GetStringAsync("/"));
        }
        return answers;
    }
}
