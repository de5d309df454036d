using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Discovery;

/// <summary>When a name is looked up again, and what holds meanwhile.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class WatchedNameTests : IDisposable
{
    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly LookupCounts _counts = new();
    private int _changes;

    public void Dispose() => _log.Dispose();

    [TestCase("A 3 127.0.0.1", 5)]
    [TestCase("A 42 127.0.0.1", 42)]
    [TestCase("A 9999 127.0.0.1", 300)]
    public async Task Start_Answer_IsAskedAgainAfterItsTtlWithinBounds(string record, int seconds)
    {
        await using var server = DnsStub.Of(() => [record]);
        using var name = Watch(server, new DnsOptions { Server = [server.Address] });

        await NextAsync(seconds);

        name.IsKnown.Should().BeTrue();
        var asked = server.Asked;
        _clock.Advance(TimeSpan.FromSeconds(seconds));
        await Eventually.BeTrueAsync(() => server.Asked == asked + 2, "it is looked up again");
    }

    [Test]
    public async Task Start_Outage_KeepsTheAnswerAndBacksOffAndIsLoggedOnce()
    {
        var code = 0;
        await using var server = new DnsStub(question => question.ReplyAsync(
            code != 0 ? question.Answer(code)
            : question.Type == "A" ? question.Answer(0, "A 10 127.0.0.1")
            : question.Answer(0)));
        using var name = Watch(server, new DnsOptions { Server = [server.Address], MaxInterval = TimeSpan.FromSeconds(15) });
        await NextAsync(10);

        code = 3;
        foreach (var wait in new[] { 5, 10, 15, 15 })
        {
            _clock.Advance(_clock.UntilNextTimer!.Value);
            await NextAsync(wait);
        }

        name.Answer!.Servers.Should().ContainSingle();
        name.Hosts.Current.Should().ContainSingle();
        _log.Lines.Should().ContainSingle().Which.Should().Contain("'web.test' cannot be resolved").And.Contain("NXDOMAIN");

        code = 0;
        _clock.Advance(TimeSpan.FromSeconds(15));
        await NextAsync(10);

        _log.Lines.Should().HaveCount(2).And.Contain(line => line.Contains("is resolved again, after 45 s"));
        _changes.Should().Be(1, "the answer is the same");
        _counts.All.Where(count => count.Count > 0).Should().BeEquivalentTo([(LookupResult.Success, 2L), (LookupResult.Nxdomain, 4L)]);
    }

    [Test]
    public async Task Start_ServerTurnsTheAnswer_IsNoChange()
    {
        var turn = 0;
        await using var server = DnsStub.Of(() => turn++ % 2 == 0
            ? ["A 10 127.0.0.1", "A 10 127.0.0.2"] : ["A 10 127.0.0.2", "A 10 127.0.0.1"]);
        using var name = Watch(server, new DnsOptions { Server = [server.Address] });

        for (var i = 0; i < 5; i++)
        {
            await NextAsync(10);
            _clock.Advance(TimeSpan.FromSeconds(10));
        }

        _changes.Should().Be(1);
    }

    [Test]
    public async Task Start_AnswerOfTheSystem_IsAskedAgainAfterSixTimesTheShortestTime()
    {
        using var name = new WatchedName(
            "web", new NameKey(NameKind.First, "localhost"), new DnsOptions(), _counts, () => true, _clock, _log);
        name.Start();

        await NextAsync(30);

        name.Hosts.Current.Should().NotBeEmpty();
        _changes.Should().Be(0, "its addresses are no members");
    }

    private WatchedName Watch(DnsStub server, DnsOptions options)
    {
        _ = server;
        var name = new WatchedName("web", new NameKey(NameKind.All, "web.test"), options, _counts, Changed, _clock, _log);
        name.Start();
        return name;
    }

    private bool Changed()
    {
        Interlocked.Increment(ref _changes);
        return true;
    }

    private Task NextAsync(int seconds) => Eventually.BeTrueAsync(
        () => _clock.UntilNextTimer == TimeSpan.FromSeconds(seconds), $"the next lookup is {seconds} s away");
}
