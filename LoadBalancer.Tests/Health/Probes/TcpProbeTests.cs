using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Health.Probes;

internal sealed class TcpProbeTests
{
    [Test]
    public async Task ProbeAsync_SomebodyAccepts_Succeeds()
    {
        await using var server = new RawServer((_, _) => Task.CompletedTask);

        (await ProbeAsync(server.Port)).Should().Be(new ProbeResult(true, "connected"));
    }

    [Test]
    public async Task ProbeAsync_NobodyListens_FailsWithTheReason() =>
        (await ProbeAsync(ReservedPorts.Next())).Should().Be(new ProbeResult(false, "connection refused"));

    [Test]
    public async Task ProbeAsync_NobodyAnswers_FailsInTime()
    {
        using var hole = new BlackHole();
        var clock = new FakeTimeProvider();
        var probe = ProbeAsync(hole.Port, clock);

        clock.Advance(TimeSpan.FromSeconds(5));

        (await probe).Should().Be(new ProbeResult(false, "no answer within 5 s"));
    }

    [Test]
    public async Task Node_WithTcpProbes_TakesABackendUpAndDown()
    {
        await using var backend = RawServer.Answering("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool =>
                pool with { HealthCheck = new HealthCheckOptions { Type = ProbeType.Tcp, DownInterval = TimeSpan.FromMilliseconds(50) } });

        using (var answer = await node.Client.GetAsync("/"))
        {
            answer.StatusCode.Should().Be(System.Net.HttpStatusCode.InternalServerError, "a backend that accepts is healthy");
        }
        await backend.KillAsync();
        await Eventually.BeTrueAsync(() => !node.Pool.Snapshot.Members[0].Health.IsUp, "it is down");
        backend.Restart();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Health.IsUp, "it is up again");
    }

    [Test]
    public async Task Probe_OneAddressOfTheNameRefuses_AnotherServes()
    {
        await using var server = RawServer.Echoing();
        var address = new EndpointAddress("tcp", "app.invalid", server.Port);
        var backend = new Backend("a", address, new BackendHealth(new(), TimeProvider.System)) { Hosts = new HostAddresses("app.invalid") };
        backend.Hosts.Set([System.Net.IPAddress.Parse("127.0.0.2"), System.Net.IPAddress.Loopback]);

        var result = await new TcpProbe(new HealthCheckOptions(), TimeProvider.System).ProbeAsync(backend, default);

        result!.Value.Succeeded.Should().BeTrue(result.Value.Reason);
    }

    private static Task<ProbeResult?> ProbeAsync(int port, TimeProvider? time = null) =>
        new TcpProbe(new HealthCheckOptions(), time ?? TimeProvider.System)
        .ProbeAsync(new Backend("a", new EndpointAddress("tcp", "127.0.0.1", port), new BackendHealth(new(), TimeProvider.System)),
            default);
}
