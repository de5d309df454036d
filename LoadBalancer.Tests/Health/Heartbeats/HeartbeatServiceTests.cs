using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>Heartbeats over real sockets to a whole node, whose configuration changes meanwhile.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HeartbeatServiceTests : IDisposable
{
    // A soak through LOADBALANCER_SOAK_SECONDS, as for RobustnessTests.
    private static readonly TimeSpan Flood =
        TimeSpan.FromSeconds(
            double.Parse(Environment.GetEnvironmentVariable("LOADBALANCER_SOAK_SECONDS") is { } soak
            ? Math.Min(10, double.Parse(soak, CultureInfo.InvariantCulture)).ToString(CultureInfo.InvariantCulture) : "3",
            CultureInfo.InvariantCulture));

    private readonly int _port = ReservedPorts.Next();
    private readonly UdpClient _backend = new(new IPEndPoint(IPAddress.Loopback, 0));

    private string Source => _backend.Client.LocalEndPoint!.ToString()!;

    public void Dispose() => _backend.Dispose();

    [Test]
    public async Task Node_HandshakeAndHeartbeats_BackendIsServedAndSeen()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools());
        (await node.Client.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);

        (await AskAsync("OK")).Should().Be("AUTH");
        (await AskAsync("127.0.0.1:7000 127.0.0.1:7001\n")).Should().Be("OK");
        await SendAsync("OK load=30");
        await SendAsync("OK load=many");
        await SendAsync(new string('x', 2000));
        await SendAsync("");

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Load == 30, "the load is reported");
        var backend = JsonNode.Parse(await node.Management.GetStringAsync("/api/pools"))!["pools"]![0]!["backends"]![0]!;
        ((bool)backend["healthy"]!, (int)backend["load"]!, (string)backend["reason"]!).Should().Be((true, 30, $"registered from {Source}"));
        string[] expected =
        [
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"auth\"} 1",
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"registered\"} 1",
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"ok\"} 1",
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"load_ignored\"} 1",
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"too_long\"} 1",
            "loadbalancer_heartbeats_total{pool=\"web\",result=\"malformed\"} 1",
            "loadbalancer_backend_load{pool=\"web\",backend=\"b1\"} 30",
        ];
        await Eventually.BeTrueAsync(
            async () => expected.All((await node.Management.GetStringAsync("/metrics")).Contains), "everything is counted");
        await node.Log.SaysAsync($"Information: pool 'web': backend 'b1' is up: registered from {Source}");
    }

    [Test]
    public async Task Reload_RegisteredBackendStays_KeyAndTimeoutAndAddressAreTakenUp()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools());
        (await AskAsync("127.0.0.1:7000 127.0.0.1:7001")).Should().Be("OK");

        await node.ReloadedAsync(() => node.WriteAsync(Pools(timeout: "00:01:00")));
        await SendAsync("OK load=1");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Load == 1, "it need not register again");

        var other = ReservedPorts.Next();
        await node.ReloadedAsync(() => node.WriteAsync(Pools(timeout: "00:01:00", port: other)));
        await SendAsync("OK load=2", other);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Load == 2, "nor where the node listens elsewhere now");
        using (new UdpClient(new IPEndPoint(IPAddress.Loopback, _port)))
        {
            // The former port is free.
            var refused = node.Reloader.Refused;
            await node.ReloadedAsync(() => node.WriteAsync(Pools(timeout: "00:01:00")));
            node.Reloader.Refused.Should().Be(refused + 1);
            await node.Log.SaysAsync(
                "Error: configuration: ",
                    $"cannot be applied: pool 'web': cannot take heartbeats on udp://127.0.0.1:{_port}: the port is taken by another " +
                        $"program");
        }
        await SendAsync("OK load=3", other);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Load == 3, "what ran goes on");

        await node.ReloadedAsync(() => node.WriteAsync(Pools(heartbeat: false)));
        (node.Pool.Snapshot.Members[0].Load, node.Pool.Snapshot.Members[0].Health.IsUp).Should().Be((0, true));
    }

    [Test]
    public async Task Reload_PoolWithHeartbeatsIsNew_TakesThem()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools(heartbeat: false));

        await node.ReloadedAsync(() => node.WriteAsync(Pools()));

        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeTrue("there is time for the first one");
        (await AskAsync("127.0.0.1:7000 127.0.0.1:7001")).Should().Be("OK");
        await node.ReloadedAsync(() => node.WriteAsync(Pools(heartbeat: false)));
        await node.ReloadedAsync(() => node.WriteAsync(Pools()));
        await Eventually.BeTrueAsync(() => !node.Pool.Snapshot.Members[0].Health.IsUp, "no backend sends heartbeats");
        node.Pool.Snapshot.Members[0].Health.Reason.Should().Be("no heartbeat yet");
    }

    [Test]
    public async Task Reload_AddressGoesToAnotherPool_IsHandedOver()
    {
        var other = ReservedPorts.Next();
        await using var node = await ConfiguredNode.StartAsync(Pools(next: other));

        await node.ReloadedAsync(() => node.WriteAsync(Pools(port: other, next: _port))); // each has the other's
        await SendAsync("127.0.0.1:7000 127.0.0.1:7001", other);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Health.IsUp, "it registers");
        node.FindPool("next")!.Snapshot.Members[0].Health.IsUp.Should().BeFalse();
        await SendAsync("127.0.0.1:8000 127.0.0.1:8001");
        await Eventually.BeTrueAsync(() => node.FindPool("next")!.Snapshot.Members[0].Health.IsUp, "so does this one");

        await node.ReloadedAsync(() => node.WriteAsync(Pools())); // that of a pool that has gone
        await SendAsync("OK load=5");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Load == 5, "it is heard there");
        using (new UdpClient(new IPEndPoint(IPAddress.Loopback, other)))
        {
            node.Reloader.Refused.Should().Be(0);
        }
    }

    [Test]
    public async Task Node_SenderIsGoneBeforeItsAnswer_GoesOn()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools());
        for (var i = 0; i < 50; i++)
        {
            using var gone = new UdpClient();
            await gone.SendAsync("OK"u8.ToArray(), "127.0.0.1", _port);
        }

        await Eventually.BeTrueAsync(async () => await AskAsync("OK") == "AUTH", "it answers");
    }

    [Test]
    public async Task Node_OverIPv6_IsTheSame()
    {
        if (!Socket.OSSupportsIPv6)
        {
            Assert.Ignore("there is no IPv6");
        }
        await using var node = await ConfiguredNode.StartAsync(Pools(host: "*", backend: "[::1]"));
        using var six = new UdpClient(new IPEndPoint(IPAddress.IPv6Loopback, 0));

        await six.SendAsync("[::1]:7000 [::1]:7001"u8.ToArray(), new IPEndPoint(IPAddress.IPv6Loopback, _port));
        Encoding.ASCII.GetString((await six.ReceiveAsync()).Buffer).Should().Be("OK");
        node.Pool.Snapshot.Members[0].Health.Reason.Should().Be($"registered from {six.Client.LocalEndPoint}");
        (await AskAsync("OK")).Should().Be("AUTH", "the same socket takes IPv4");
    }

    [Test]
    public async Task Flood_OfEverything_HeartbeatsGoOn()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools(timeout: "00:01:00"));
        (await AskAsync("127.0.0.1:7000 127.0.0.1:7001")).Should().Be("OK");
        using var over = new CancellationTokenSource();
        var flood = Task.Run(() => FloodAsync(over.Token));

        var started = Stopwatch.StartNew();
        for (var i = 0; started.Elapsed < Flood; i++)
        {
            var load = 1 + (i % 100);
            await Eventually.BeTrueAsync(
                async () =>
                {
                    await SendAsync($"OK load={load}"); // Some are lost in the flood.
                    return node.Pool.Snapshot.Members[0].Load == load;
                },
                "a heartbeat gets through");
        }

        await over.CancelAsync();
        (await flood).Should().BeGreaterThan(1000);
        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeTrue();
        node.Log.Lines.Count(line => line.Contains("of no use", StringComparison.Ordinal)).Should()
            .BeLessThanOrEqualTo(1 + (int)(started.Elapsed.TotalSeconds / 10));
    }

    private async Task<long> FloodAsync(CancellationToken over)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Connect(IPAddress.Loopback, _port);
        byte[][] datagrams = ["OK"u8.ToArray(), "127.0.0.1:7000 127.0.0.1:9"u8.ToArray(), new byte[400], "nonsense"u8.ToArray()];
        var sent = 0L;
        for (; !over.IsCancellationRequested; sent++)
        {
            try
            {
                await socket.SendAsync(datagrams[sent % datagrams.Length], CancellationToken.None);
            }
            catch (SocketException)
            {
                // No room: it comes faster than it can go.
            }
        }
        return sent;
    }

    private string Pools(string timeout = "00:00:02", int? port = null, bool heartbeat = true, string host = "127.0.0.1",
        string backend = "127.0.0.1", int? next = null) =>
        heartbeat
            ? $$"""
              {
                "web": {
                  "Heartbeat": { "Address": "udp://{{host}}:{{port ?? _port}}", "Timeout": "{{timeout}}" },
                  "Backends": { "b1": { "Address": "http://{{backend}}:7000", "HeartbeatAddress": "udp://{{backend}}:7001" } }
                }{{(next is { } other ? Next(other) : "")}}
              }
              """
            : $$"""{ "web": { "Backends": { "b1": { "Address": "http://{{backend}}:7000" } } } }""";

    private static string Next(int port) =>
        $$"""
        , "next": {
          "Heartbeat": { "Address": "udp://127.0.0.1:{{port}}" },
          "Backends": { "n1": { "Address": "http://127.0.0.1:8000", "HeartbeatAddress": "udp://127.0.0.1:8001" } }
        }
        """;

    private async Task SendAsync(string text, int? port = null) =>
        await _backend.SendAsync(Encoding.UTF8.GetBytes(text), new IPEndPoint(IPAddress.Loopback, port ?? _port));

    private async Task<string> AskAsync(string text)
    {
        await SendAsync(text);
        return Encoding.UTF8.GetString((await _backend.ReceiveAsync()).Buffer);
    }
}
