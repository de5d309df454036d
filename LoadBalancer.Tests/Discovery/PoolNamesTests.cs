using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Discovery;

/// <summary>What is known about the names of a pool goes along to the process that replaces this one.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class PoolNamesTests : IDisposable
{
    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();

    public void Dispose() => _log.Dispose();

    [Test]
    public async Task Answers_EveryKindOfName_HaveIt([Values] NameKind kind)
    {
        await using var server = new DnsStub(question => question.ReplyAsync(question.Type == "SRV"
            ? question.AnswerWith(["SRV 60 0 1 80 a.test"], ["a.test A 60 127.0.0.1"])
            : question.Answer(0, "A 60 127.0.0.1")));
        using var names = new PoolNames("web", () => true, _clock, _log) { Options = new DnsOptions { Server = [server.Address] } };
        var key = new NameKey(kind, "web.test");
        var name = names.Watch(key);

        names.Start();

        await Eventually.BeTrueAsync(() => name.IsKnown, "it is looked up");
        names.Answers.Select(found => found.Key).Should().Equal(key);
    }

    [Test]
    public async Task Begin_AnswerOfAnotherProcess_IsWhereConnectionsAreOpenedAlsoInAnOutage()
    {
        await using var server = new DnsStub(question => question.ReplyAsync(question.Answer(2)));
        using var names = new PoolNames("web", () => true, _clock, _log) { Options = new DnsOptions { Server = [server.Address] } };
        var name = names.Watch(new NameKey(NameKind.First, "web.test"));

        name.Begin(new LookupAnswer([new(IPAddress.Loopback, "web.test")], null));

        name.Hosts.Current.Should().Equal(IPAddress.Loopback);
        names.Start();
        await Eventually.BeTrueAsync(() => _log.Lines.Any(line => line.Contains("(1) stays in use")), "the outage is logged");
        name.Hosts.Current.Should().Equal(IPAddress.Loopback);
    }

    [TestCase("First", "All")]
    [TestCase("All", "First")]
    public async Task Watch_OtherResolveOfAKnownName_HasItsAddresses(string before, string now)
    {
        await using var server = DnsStub.Of(() => ["A 60 127.0.0.1"]);
        using var names = new PoolNames("web", () => true, _clock, _log) { Options = new DnsOptions { Server = [server.Address] } };
        var known = names.Watch(new NameKey(Enum.Parse<NameKind>(before), "web.test"));
        names.Start();
        await Eventually.BeTrueAsync(() => known.IsKnown, "it is looked up");
        server.AnswerAsync = question => question.ReplyAsync(question.Answer(2));

        var name = names.Watch(new NameKey(Enum.Parse<NameKind>(now), "web.test"));

        name.IsKnown.Should().BeTrue();
        name.Hosts.Current.Should().Equal(IPAddress.Loopback);
        names.Watch(new NameKey(NameKind.Service, "web.test")).IsKnown.Should().BeFalse();
    }
}
