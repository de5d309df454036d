using System.Text;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Zmtp;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class SubscriptionTableTests
{
    private readonly SubscriptionTable _table = new(new ZmtpLimits { Subscriptions = 5, SubscriptionsPerPeer = 3, SubscriptionBytes = 10 });
    private readonly Subscriber _a = new(null);
    private readonly Subscriber _b = new(null);

    [Test]
    public void Match_PrefixesOfSeveral_ChoosesEachOnce()
    {
        _table.Add(_a, "u"u8).Should().BeTrue();
        _table.Add(_a, "uuid-1"u8).Should().BeTrue();
        _table.Add(_b, "uuid-1"u8).Should().BeFalse("another subscriber has this prefix already");

        Match("uuid-1 OK").Should().BeEquivalentTo([_a, _b]);
        Match("uuid-2 OK").Should().Equal(_a);
        Match("u").Should().Equal(_a);
        Match("").Should().BeEmpty();
        Match("x").Should().BeEmpty();
    }

    [Test]
    public void Match_EmptyPrefix_IsEverything()
    {
        _table.Add(_a, []);

        Match("").Should().Equal(_a);
        Match("anything").Should().Equal(_a);
    }

    [Test]
    public void Remove_AddedTwice_TakesTwo()
    {
        _table.Add(_a, "x"u8);
        _table.Add(_a, "x"u8).Should().BeFalse();

        _table.Remove(_a, "x"u8).Should().BeFalse();
        Match("x").Should().Equal(_a);
        _table.Remove(_b, "x"u8).Should().BeFalse("it is not its own");
        _table.Remove(_a, "x"u8).Should().BeTrue();
        _table.Remove(_a, "x"u8).Should().BeFalse("it has none any more");
        Match("x").Should().BeEmpty();
    }

    [Test]
    public void RemoveAll_SomeShared_TellsThoseNobodyWants()
    {
        _table.Add(_a, "x"u8);
        _table.Add(_a, "y"u8);
        _table.Add(_b, "y"u8);

        _table.RemoveAll(_a).Select(Encoding.ASCII.GetString).Should().Equal("x");
        _table.RemoveAll(_a).Should().BeEmpty();
        Match("y").Should().Equal(_b);
        _table.Prefixes.Select(Encoding.ASCII.GetString).Should().Equal("y");
    }

    [Test]
    public void Add_BeyondTheLimits_IsRefused()
    {
        _table.Add(_a, "1"u8);
        _table.Add(_a, "2"u8);
        _table.Add(_a, "3"u8);
        Refused(_a, "4");
        _table.Add(_a, "3"u8).Should().BeFalse("it has that one");
        _table.Add(_b, "4"u8);
        _table.Add(_b, "5"u8);
        Refused(_b, "6");
        _table.Add(_b, "1"u8).Should().BeFalse("there is that one");
        Refused(new Subscriber(null), "12345678901");
    }

    [Test]
    public void Add_AllTogetherTooLong_IsRefusedUntilOthersAreCancelled()
    {
        var table = new SubscriptionTable(new ZmtpLimits { AllSubscriptionBytes = 10 });
        var (one, other) = (new Subscriber(null), new Subscriber(null));
        table.Add(one, "123456"u8);
        table.Add(other, "123456"u8).Should().BeFalse("it is known, and costs nothing more");

        FluentActions.Invoking(() => table.Add(other, "78901"u8)).Should().Throw<ZmtpException>()
            .Which.Fault.Should().Be(ZmtpFault.Subscriptions);

        table.RemoveAll(one);
        table.RemoveAll(other);
        table.Add(other, "78901"u8).Should().BeTrue();
    }

    // Otherwise clients alone could subscribe to so much that every worker that connects is disconnected.
    [Test]
    public void Limits_AllSubscriptionsAtOnce_FitIntoOneQueue()
    {
        const int HeadBytes = 32; // of the command for one subscription
        var limits = new ZmtpLimits();

        (limits.AllSubscriptionBytes + (long)limits.Subscriptions * HeadBytes).Should().BeLessThan(limits.QueueBytes);
    }

    [Test]
    public void Match_AgainstTheRuleItself_ChoosesTheSame()
    {
        var random = new Random(5);
        var table = new SubscriptionTable(new ZmtpLimits());
        Subscriber[] peers = [.. Enumerable.Range(0, 5).Select(_ => new Subscriber(null))];
        var model = new List<(Subscriber Peer, string Prefix)>();
        string Text(int most) => string.Concat(Enumerable.Range(0, random.Next(most)).Select(_ => random.Next(2) == 0 ? 'a' : 'b'));
        for (var i = 0; i < 5_000; i++)
        {
            var (peer, prefix) = (peers[random.Next(peers.Length)], Text(4));
            switch (random.Next(8))
            {
                case < 4:
                    table.Add(peer, Encoding.ASCII.GetBytes(prefix)).Should().Be(model.TrueForAll(entry => entry.Prefix != prefix));
                    model.Add((peer, prefix));
                    break;
                case < 7:
                    table.Remove(peer, Encoding.ASCII.GetBytes(prefix))
                    .Should().Be(model.Remove((peer, prefix)) && model.TrueForAll(entry => entry.Prefix != prefix));
                    break;
                default:
                    var before = model.Select(entry => entry.Prefix).ToHashSet();
                    model.RemoveAll(entry => entry.Peer == peer);
                    before.ExceptWith(model.Select(entry => entry.Prefix));
                    table.RemoveAll(peer).Select(Encoding.ASCII.GetString).Should().BeEquivalentTo(before);
                    break;
            }
            var (topic, chosen) = (Text(6), new List<Subscriber>());
            table.Match(Encoding.ASCII.GetBytes(topic), chosen);
            var expected = model.Where(entry => topic.StartsWith(entry.Prefix, StringComparison.Ordinal)).Select(entry => entry.Peer)
                .Distinct().ToList();
            (chosen.Count == expected.Count && chosen.All(expected.Contains)).Should().BeTrue();
            table.IsWanted(Encoding.ASCII.GetBytes(topic)).Should().Be(expected.Count > 0);
        }
    }

    private List<Subscriber> Match(string topic)
    {
        var chosen = new List<Subscriber>();
        _table.Match(Encoding.ASCII.GetBytes(topic), chosen);
        return chosen;
    }

    private void Refused(Subscriber subscriber, string prefix) =>
        FluentActions.Invoking(() => _table.Add(subscriber, Encoding.ASCII.GetBytes(prefix)))
        .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.Subscriptions);
}
