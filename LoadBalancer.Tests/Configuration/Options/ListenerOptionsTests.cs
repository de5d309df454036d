using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Options;

/// <summary>Which changes of a listener's options need another listener.</summary>
internal sealed class ListenerOptionsTests
{
    private static readonly HttpListenerOptions Http = new() { Address = TestNode.Parse("http://127.0.0.1:8080"), Pool = "web" };

    [Test]
    public void NeedsAnother_SameOptions_IsFalse() =>
        (Http with { Routes = [new() { Pool = "a" }], Certificates = [new() { File = "a" }] })
            .NeedsAnother(Http with { Certificates = [new() { File = "a" }] })
            .Should().BeFalse("lists are compared by their items");

    [Test]
    public void NeedsAnother_OtherFixedSettings_IsTrue()
    {
        Http.NeedsAnother(Http with { AccessLog = "Console" }).Should().BeTrue();
        Http.NeedsAnother(Http with { Certificates = [new() { File = "a" }] }).Should().BeTrue();
        Http.NeedsAnother(Http with { Address = TestNode.Parse("http://127.0.0.1:8081") }).Should().BeTrue();
    }

    [Test]
    public void NeedsAnother_OtherReloadableSettings_IsFalse() =>
        Http.NeedsAnother(Http with
        {
            Pool = "other",
            Routes = [new() { Pool = "a" }],
            TrustedProxies = [IPNetwork.Parse("10.0.0.0/8")],
            MaxRequestBodySize = 1,
            MaxConnections = 5,
            RequestHeadersTimeout = TimeSpan.FromSeconds(1),
            KeepAliveTimeout = TimeSpan.FromSeconds(1),
        }).Should().BeFalse();

    [Test]
    public void NeedsAnother_PoolOfWorkers_IsTrue()
    {
        var broker = new BrokerListenerOptions { Pool = "a" };
        broker.NeedsAnother(broker with { Pool = "b" }).Should().BeTrue();
        broker.NeedsAnother(broker with { QueueLimit = 1 }).Should().BeFalse();
    }

    [Test]
    public void NeedsAnother_OtherProtocol_IsTrue() =>
        Http.NeedsAnother(new TcpListenerOptions { Address = Http.Address, Pool = "web" }).Should().BeTrue();
}
