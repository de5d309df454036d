using System.Net;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Composition;

/// <summary>Which members there are for what was found.</summary>
internal sealed class FoundMembersTests
{
    [Test]
    public void Of_AddressesInAnyOrder_AreTheSameMembersInTheSameOrder()
    {
        var app = App("https://web.test:8443") with { Weight = 3, MaxInFlight = 7, Backup = true };

        var members = Of(app, Server("127.0.0.10"), Server("::1"), Server("127.0.0.9"));
        var turned = Of(app, Server("::1"), Server("127.0.0.9"), Server("127.0.0.10"));

        members.Keys.Should().BeEquivalentTo("app@127.0.0.9:8443", "app@127.0.0.10:8443", "app@[::1]:8443");
        turned.Should().Equal(members);
        members.Values.Should().OnlyContain(
            member => member.Weight == 3 && member.MaxInFlight == 7 && member.Backup && member.HostName == "web.test");
        $"{members["app@[::1]:8443"].Address}".Should().Be("https://[::1]:8443");
    }

    [Test]
    public void Of_NoAnswerYet_HasNoMember() =>
        FoundMembers.Of([new("app", App("http://web.test:80"))], _ => null).Should().BeEmpty();

    [Test]
    public void Of_AddressWithoutName_IsAMemberOfItsOwnName() =>
        FoundMembers.Of([new("app", App("http://127.0.0.1:80"))], _ => null).Keys.Should().Equal("app");

    [TestCase(1, new[] { 10, 20 }, new[] { 10, 20 })]
    [TestCase(2, new[] { 10, 20 }, new[] { 20, 40 })]
    [TestCase(0, new[] { 10, 20 }, new[] { 0, 0 })]
    [TestCase(3, new[] { 0, 0 }, new[] { 3, 3 })]
    [TestCase(1, new[] { 65535, 655, 1, 0 }, new[] { 1000, 10, 1, 0 })]
    public void Of_WeightsOfAService_KeepTheirRatio(int weight, int[] found, int[] expected)
    {
        var app = App("srv+http://_http._tcp.web.test") with { Weight = weight };

        var members = Of(app, [.. found.Select((share, i) => Server("127.0.0.1", 1000 + i, 0, share))]);

        members.Values.Select(member => member.Weight).Should().Equal(expected);
    }

    [Test]
    public void Of_PrioritiesOfAService_AreTiersWithWeightsOfTheirOwn()
    {
        var members = Of(App("srv+https://_https._tcp.web.test"), Server("127.0.0.1", 1, 5, 0), Server("127.0.0.2", 2, 1, 9));

        members.Select(member => $"{member.Key} {member.Value.Address.Scheme} {member.Value.Tier} {member.Value.Weight}")
            .Should().Equal("app@127.0.0.2:2 https 1 9", "app@127.0.0.1:1 https 5 1");
    }

    [Test]
    public void Change_OfOneServer_NamesItAlone()
    {
        var before = Of(App("http://web.test:80"), Server("127.0.0.1"), Server("127.0.0.2"));
        var now = Of(App("http://web.test:80") with { Weight = 2 }, Server("127.0.0.2"), Server("127.0.0.3"));

        $"{MemberChange.Of(before, now)}".Should().Be("joined: app@127.0.0.3:80; left: app@127.0.0.1:80; changed: app@127.0.0.2:80");
        MemberChange.Of(now, now).IsNone.Should().BeTrue();
    }

    private static Dictionary<string, BackendOptions> Of(BackendOptions app, params FoundServer[] servers) =>
        FoundMembers.Of([new("app", app)], _ => new LookupAnswer(servers, null));

    private static BackendOptions App(string address) => new() { Address = TestNode.Parse(address), Resolve = ResolveMode.All };

    private static FoundServer Server(string address, int port = 0, int priority = 0, int weight = 0) =>
        new(IPAddress.Parse(address), "web.test", port, priority, weight);
}
