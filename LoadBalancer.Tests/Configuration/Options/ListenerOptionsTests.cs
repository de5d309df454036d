using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Options;

/// <summary>Which changes of a listener's options need a restart.</summary>
internal sealed class ListenerOptionsTests
{
    private static readonly HttpListenerOptions Http = new() { Address = TestNode.Parse("http://127.0.0.1:8080"), Pool = "web" };

    [Test]
    public void FixedSettingsThatDiffer_SameOptions_AreNone() =>
        (Http with { Routes = [new() { Pool = "a" }], Certificates = [new() { File = "a" }] })
            .FixedSettingsThatDiffer(Http with { Certificates = [new() { File = "a" }] })
            .Should().BeEmpty("lists are compared by their items");

    [Test]
    public void FixedSettingsThatDiffer_OtherFixedSettings_AreNamed() =>
        Http.FixedSettingsThatDiffer(Http with { MaxConnections = 5, AccessLog = "Console", Certificates = [new() { File = "a" }] })
            .Should().BeEquivalentTo("MaxConnections", "AccessLog", "Certificates");

    [Test]
    public void FixedSettingsThatDiffer_OtherReloadableSettings_AreNone() =>
        Http.FixedSettingsThatDiffer(Http with
        {
            Pool = "other",
            Routes = [new() { Pool = "a" }],
            TrustedProxies = [IPNetwork.Parse("10.0.0.0/8")],
            MaxRequestBodySize = 1,
            RequestHeadersTimeout = TimeSpan.FromSeconds(1),
        }).Should().BeEmpty();

    [Test]
    public void FixedSettingsThatDiffer_PoolOfWorkers_IsNamed() =>
        new BrokerListenerOptions { Pool = "a" }.FixedSettingsThatDiffer(new BrokerListenerOptions { Pool = "b", QueueLimit = 1 })
            .Should().Equal("Pool");

    [Test]
    public void FixedSettingsThatDiffer_OtherProtocol_NamesItAndWhatBothHave() =>
        Http.FixedSettingsThatDiffer(new TcpListenerOptions { Address = TestNode.Parse("tcp://127.0.0.1:8080"), Pool = "web" })
            .Should().BeEquivalentTo("Protocol", "Address");
}
