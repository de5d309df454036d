using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>How configurations are pushed, remembered and written again. etcd is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ConfigurationKeeperTests : IAsyncDisposable
{
    private const string Last = "/lb/edge/config";

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly List<Keeping> _nodes = [];
    private EtcdStub _etcd = null!;

    [SetUp]
    public async Task StartAsync() => _etcd = await EtcdStub.StartAsync(_clock);

    public async ValueTask DisposeAsync()
    {
        _etcd.Fault = _ => EtcdFault.None;
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Push_TwoNodes_BothUseItAndTheNumbersGoOn()
    {
        var (a, b) = (await NodeAsync("a"), await NodeAsync("b"));

        var first = await a.Keeper.PushAsync("{ /* é */ }", "ci", null);
        await EventuallyAsync(() => b.Used is ["1 { /* é */ }"]);
        var second = await b.Keeper.PushAsync("two", "-", null);
        await EventuallyAsync(() => a.Used.Count == 2);

        (first.Error, first.Mark!.Number, first.Mark.Node, first.Mark.User).Should().Be((null, 1, "a", "ci"));
        second.Mark!.Number.Should().Be(2);
        a.Used.Should().Equal("1 { /* é */ }", "2 two");
        a.Keeper.History.Should().Equal(second.Mark, first.Mark);
        a.Keeper.Find(1)!.Text.Should().Be("{ /* é */ }");
        a.Keeper.Find(3).Should().BeNull();
        JsonNode.Parse(_etcd.Find(Last)!.Value.Value)!["revision"]!.GetValue<long>().Should().Be(2);
        _etcd.Find(Last)!.Value.Value.Should().NotContain("gzip", "the text is in the history alone");
    }

    [Test]
    public async Task Push_AnotherNodeIsFirst_IsRefused()
    {
        var a = await NodeAsync("a");
        await a.Keeper.PushAsync("one", "ci", null);
        _etcd.IsDeaf = true; // It does not hear of the next one.
        Put(2, "two", "b");

        var refused = await a.Keeper.PushAsync("other", "ci", null);

        (refused.Mark, refused.IsConflict).Should().Be((null, true));
        refused.Error.Should().Be("configuration 2, pushed at node 'b' by 'x' came first; look at it, and push again");
        NumberThere.Should().Be(2);
    }

    [Test]
    public async Task Push_AnswerIsLost_IsPushedOnce()
    {
        var a = await NodeAsync("a");
        var isFirst = true;
        _etcd.Fault = path =>
        {
            var isLost = path == "/v3/kv/txn" && isFirst;
            isFirst &= !isLost;
            return isLost ? EtcdFault.AnswerIsLost : EtcdFault.None;
        };

        var pushing = a.Keeper.PushAsync("one", "ci", null);
        await Eventually.BeDoneAsync(pushing, _clock, TimeSpan.FromMilliseconds(10), "it is answered");

        (await pushing).Mark!.Number.Should().Be(1);
        a.Used.Should().Equal("1 one");
    }

    [Test]
    public async Task Push_EtcdIsAway_SaysSo()
    {
        var a = await NodeAsync("a");
        a.WhyNot = "this node is not connected to etcd (it is away)";

        (await a.Keeper.PushAsync("one", "ci", null)).Error.Should().Be(
            "this node is not connected to etcd (it is away); nothing was pushed");

        a.WhyNot = null;
        _etcd.Fault = path => path == "/v3/kv/txn" ? EtcdFault.Refused : EtcdFault.None;
        var pushing = a.Keeper.PushAsync("one", "ci", null);
        await Eventually.BeDoneAsync(pushing, _clock, TimeSpan.FromMilliseconds(50), "it is given up");

        (await pushing).Error.Should().StartWith("the configuration was not taken up within 5 s (etcd at 127.0.0.1:");
    }

    [Test]
    public async Task Push_MoreThanAreRemembered_ForgetsTheOldest()
    {
        var a = await NodeAsync("a");

        for (var i = 1; i <= 53; i++)
        {
            (await a.Keeper.PushAsync($"text {i}", "ci", i == 53 ? 4 : null)).Error.Should().BeNull();
        }

        var history = a.Keeper.History;
        history.Select(mark => mark.Number).Should().Equal(Enumerable.Range(4, 50).Reverse().Select(i => (long)i));
        history[0].RollbackOf.Should().Be(4);
        _etcd.Find($"{Last}/history/3").Should().BeNull();
    }

    [Test]
    public async Task Push_LongTexts_AreForgottenSooner()
    {
        for (var i = 1; i <= 9; i++)
        {
            _etcd.Put($"{Last}/history/{i}", new string('x', 1024 * 1024));
        }
        var a = await NodeAsync("a");

        (await a.Keeper.PushAsync("text", "ci", null)).Mark!.Number.Should().Be(10);

        (_etcd.Find($"{Last}/history/1") is null, _etcd.Find($"{Last}/history/2") is null).Should().Be((true, false));
    }

    [Test]
    public async Task TakeUp_EtcdIsEmpty_TheLastOneIsWrittenAgain()
    {
        var a = await NodeAsync("a");
        await a.Keeper.PushAsync("one", "ci", null);
        await a.Keeper.PushAsync("two", "ci", null);

        _etcd.Forget(1);

        await EventuallyAsync(() => NumberThere == 2 && _etcd.Find($"{Last}/history/2") is not null);
        await _log.SaysAsync("Warning: cluster: etcd does not have configuration 2, pushed at node 'a' by 'ci'");
        a.Used.Should().Equal("1 one", "2 two");
        await EventuallyAsync(() => a.Keeper.History is [{ Number: 2 }]);
        (await a.Keeper.PushAsync("three", "ci", null)).Mark!.Number.Should().Be(3);
    }

    [Test]
    public async Task TakeUp_KeyIsDeleted_IsWrittenAgain()
    {
        var a = await NodeAsync("a");
        await a.Keeper.PushAsync("one", "ci", null);

        _etcd.Delete(Last);

        await EventuallyAsync(() => NumberThere == 1);
    }

    [Test]
    public async Task TakeUp_EtcdHasAnEarlierOne_TheLaterOneHolds()
    {
        Put(3, "earlier", "b");
        var later = new PushedConfiguration(new PushedMark(2, _clock.GetUtcNow().AddHours(1), "a", "ci", null), "later");

        var a = await NodeAsync("a", later);

        await EventuallyAsync(() => NumberThere == 2);
        a.Used.Should().BeEmpty("it is in use already");
        (await a.Keeper.PushAsync("next", "ci", null)).Mark!.Number.Should().Be(4, "3 is taken");
    }

    [Test]
    public async Task TakeUp_EtcdHasALaterOne_ItIsUsed()
    {
        Put(2, "later", "b");
        var earlier = new PushedConfiguration(new PushedMark(3, _clock.GetUtcNow().AddHours(-1), "a", "ci", null), "earlier");

        var a = await NodeAsync("a", earlier);

        await EventuallyAsync(() => a.Used is ["2 later"]);
        NumberThere.Should().Be(2);
    }

    [TestCase("{}")]
    [TestCase("no JSON")]
    [TestCase("""{"revision":1,"time":"2026-11-30T12:00:00.0000000Z","node":"a","user":"x","rollbackOf":null}""")] // without a text
    public async Task TakeUp_WrittenBySomethingElse_IsNotUsed(string value)
    {
        _etcd.Put(Last, value);
        _etcd.Put($"{Last}/history/1", value);

        var a = await NodeAsync("a");
        await _log.SaysAsync("Warning: cluster: the value of /lb/edge/config in etcd");

        a.Keeper.Known.Should().BeNull();
        (await a.Keeper.PushAsync("one", "ci", null)).Error.Should().BeNull();
        a.Used.Should().HaveCount(1);
    }

    [Test]
    public void Read_TextThatIsFarTooLong_IsNone()
    {
        var mark = new PushedMark(1, _clock.GetUtcNow(), "a", "ci", null);

        PushedConfiguration.TryRead(new PushedConfiguration(mark, new string(' ', PushedConfiguration.Largest)).ToText())
            .Should().NotBeNull();
        PushedConfiguration.TryRead(new PushedConfiguration(mark, new string(' ', PushedConfiguration.Largest + 1)).ToText())
            .Should().BeNull();
    }

    private long NumberThere =>
        _etcd.Find(Last) is { } there ? JsonNode.Parse(there.Value)!["revision"]!.GetValue<long>() : 0;

    private void Put(long number, string text, string node)
    {
        var pushed = new PushedConfiguration(new PushedMark(number, _clock.GetUtcNow().AddSeconds(1), node, "x", null), text);
        _etcd.Put($"{Last}/history/{number}", pushed.ToText());
        _etcd.Put(Last, pushed.Mark.ToText());
    }

    private Task EventuallyAsync(Func<bool> condition) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            return condition();
        },
        "that is so");

    private async Task<Keeping> NodeAsync(string name, PushedConfiguration? known = null)
    {
        var node = new Keeping(_etcd.Address, name, known, _clock, _log);
        _nodes.Add(node);
        await node.Watch.Loaded;
        return node;
    }

    /// <summary>What of a node shares the configuration: a watch and a keeper.</summary>
    private sealed class Keeping : IAsyncDisposable
    {
        private readonly EtcdConnection _connection;
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _watching;

        public Keeping(string etcd, string name, PushedConfiguration? known, TimeProvider clock, LogRecorder log)
        {
            _connection = new EtcdConnection(
                new ClusterOptions { Name = "edge", Etcd = [etcd], LeaseTime = TimeSpan.FromSeconds(60) }, clock);
            var client = new EtcdClient(_connection);
            Watch = new KeyWatch(client, "/lb/edge/", TimeSpan.FromSeconds(2), clock, new ClusterLog("edge", log));
            Keeper = new ConfigurationKeeper(client, "edge", name, known, clock, log)
            {
                WhyNot = () => WhyNot,
                Use = pushed => Used = [.. Used, $"{pushed.Mark.Number} {pushed.Text}"],
            };
            Watch.Changed += Keeper.TakeUp;
            Keeper.Start();
            _watching = Watch.RunAsync(_stop.Token);
        }

        public KeyWatch Watch { get; }

        public ConfigurationKeeper Keeper { get; }

        public string? WhyNot { get; set; }

        public List<string> Used { get; private set; } = [];

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Keeper.StopAsync();
            Keeper.Dispose();
            _connection.Dispose();
            _stop.Dispose();
        }
    }
}
