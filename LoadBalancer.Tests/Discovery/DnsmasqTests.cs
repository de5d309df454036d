using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Discovery;

/// <summary>Lookups at a DNS server that others have written.</summary>
internal sealed class DnsmasqTests
{
    [Test]
    public async Task FindHost_RealServer_HasTheAddressesOfBothFamiliesAndFollowsThem()
    {
        await using var server = await Dnsmasq.StartAsync(["127.0.0.2 web.test", "127.0.0.3 web.test", "::1 web.test"]);

        var before = await Lookup(server).FindHostAsync("WEB.test", null, default);
        await server.SetHostsAsync("127.0.0.4 web.test");
        var after = await Lookup(server).FindHostAsync("web.test", before, default);

        Addresses(before).Should().BeEquivalentTo("127.0.0.2", "127.0.0.3", "::1");
        before.Ttl.Should().Be(TimeSpan.FromSeconds(5));
        Addresses(after).Should().Equal("127.0.0.4");
    }

    [Test]
    public async Task FindHost_ThousandAddressesOfARealServer_ComeOverTcp()
    {
        string[] hosts = [.. Enumerable.Range(0, 1000).Select(i => $"127.1.{i / 250}.{i % 250} many.test")];
        await using var server = await Dnsmasq.StartAsync(hosts);

        (await Lookup(server).FindHostAsync("many.test", null, default)).Servers.Should().HaveCount(1000);
    }

    [Test]
    public async Task FindHost_NameThatARealServerDoesNotKnow_Fails()
    {
        await using var server = await Dnsmasq.StartAsync(["127.0.0.2 web.test"]);

        var failed = async () => await Lookup(server).FindHostAsync("other.test", null, default);

        (await failed.Should().ThrowAsync<LookupException>()).Which.Result.Should().Be(LookupResult.Nxdomain);
    }

    [Test]
    public async Task FindHost_AliasAtARealServer_IsFollowed()
    {
        await using var server = await Dnsmasq.StartAsync(["127.0.0.2 web.test"], "--cname=www.test,web.test,3");

        var answer = await Lookup(server).FindHostAsync("www.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.2");
    }

    [Test]
    public async Task FindService_RealServer_HasPortsPrioritiesAndWeights()
    {
        await using var server = await Dnsmasq.StartAsync(
            ["127.0.0.2 a.test", "127.0.0.3 b.test"],
            "--srv-host=_http._tcp.web.test,a.test,8001,0,30", "--srv-host=_http._tcp.web.test,b.test,8002,1,20",
            "--srv-host=_none._tcp.web.test");

        var answer = await Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default);

        answer.Servers.Select(found => $"{found.Address}:{found.Port} {found.Host} {found.Priority} {found.Weight}").Should().Equal(
            "127.0.0.2:8001 a.test 0 30", "127.0.0.3:8002 b.test 1 20");
        (await Lookup(server).FindServiceAsync("_none._tcp.web.test", null, default)).Servers.Should().BeEmpty();
    }

    private static NameLookup Lookup(Dnsmasq server) => new(new DnsOptions { Server = [server.Address] }, TimeProvider.System);

    private static IEnumerable<string> Addresses(LookupAnswer answer) => answer.Servers.Select(server => $"{server.Address}");
}
