using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Health.Probes;

internal sealed class AgentProbeTests
{
    [TestCase("up 75%\n")]
    [TestCase("up 75%\r\nmaint\n")]
    [TestCase("up 75%")]
    public async Task Probe_Line_IsReadToItsEnd(string sent)
    {
        await using var agent = new RawServer((peer, _) => peer.SendAsync(sent));

        (await ProbeAsync(agent.Port)).Should().Be(new ProbeResult(true, "its agent says 'up 75%'")
        {
            Agent = AgentReport.None with { Share = 75 },
            IsCertain = true,
        });
    }

    [Test]
    public async Task Probe_LineInPieces_IsReadBeforeTheAgentCloses()
    {
        var done = new TaskCompletionSource();
        await using var agent = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("dra");
            await peer.SendAsync("in\n");
            await done.Task;
        });

        (await ProbeAsync(agent.Port))!.Value.Agent.Should().Be(AgentReport.None with { State = AdminState.Draining });
        done.SetResult();
    }

    [Test]
    public async Task Probe_TextToSend_IsSentFirst()
    {
        await using var agent = new RawServer(async (peer, _) =>
            await peer.SendAsync(await peer.ReadAsync(4) == "b1 ?" ? "up\n" : "down\n"));

        (await ProbeAsync(agent.Port, send: "b1 ?"))!.Value.Succeeded.Should().BeTrue();
    }

    [TestCase("")]
    [TestCase("\r\n")]
    public async Task Probe_Nothing_Fails(string sent)
    {
        await using var agent = new RawServer((peer, _) => peer.SendAsync(sent));

        (await ProbeAsync(agent.Port)).Should().Be(new ProbeResult(false, "its agent said nothing") { Agent = AgentReport.None });
    }

    [Test]
    public async Task Probe_EndlessLine_IsReadUpToItsLimit()
    {
        await using var agent = new RawServer((peer, _) => peer.SendAsync("up " + new string('x', 100_000)));

        (await ProbeAsync(agent.Port))!.Value.Succeeded.Should().BeTrue();
    }

    [Test]
    public async Task Probe_AgentIsGone_FailsAndKeepsWhatItHasSaid()
    {
        var before = AgentReport.None with { Share = 30 };

        (await ProbeAsync(ReservedPorts.Next(), before)).Should().Be(new ProbeResult(false, "connection refused") { Agent = before });
    }

    [Test]
    public async Task Probe_SaysNothingForLong_FailsInTime()
    {
        var clock = new FakeTimeProvider();
        await using var agent = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        var probing = ProbeAsync(agent.Port, time: clock);
        await Eventually.BeTrueAsync(() => agent.Accepted == 1, "it is under way");

        clock.Advance(TimeSpan.FromSeconds(5));

        (await probing)!.Value.Reason.Should().Be("no answer within 5 s");
    }

    [Test]
    public async Task Node_AgentChangesItsMind_SteersTheBackendAndLeavesTheOperatorsSettings()
    {
        var line = "up ready 100%";
        await using var agent = new RawServer((peer, _) => peer.SendAsync(line + "\n"));
        await using var one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        await using var node = await TestNode.StartAsync([one.Address], pool => pool with
        {
            HealthCheck = new HealthCheckOptions
            {
                Type = ProbeType.Agent,
                Port = agent.Port,
                Interval = TimeSpan.FromMilliseconds(20),
                DownInterval = TimeSpan.FromMilliseconds(20),
                Fall = 1000,
            },
        });
        var backend = node.Pool.Snapshot.Members[0];
        (await node.Client.GetStringAsync("/")).Should().Be("one");

        async Task SaysAsync(string what, Func<bool> effect)
        {
            line = what;
            await Eventually.BeTrueAsync(effect, what);
        }

        await SaysAsync("drain", () => node.Pool.Snapshot.Eligible.IsEmpty);
        (backend.AdminState, backend.Health.IsUp).Should().Be((AdminState.Ready, true));
        await SaysAsync("ready 50% maxconn:1", () => backend.EffectiveWeight == 50 && backend.Agent.State == AdminState.Ready);
        await SaysAsync("down#disk full", () => !backend.Health.IsUp);
        backend.Health.Reason.Should().Be("its agent says 'down#disk full'");
        await SaysAsync("up", () => node.Pool.Snapshot.Eligible.Length == 1);
        node.Pool.Change(() => backend.AdminState = AdminState.Disabled);
        await SaysAsync("ready 80%", () => backend.EffectiveWeight == 80);
        node.Pool.Snapshot.Eligible.Should().BeEmpty("the operator does not want it");
        await node.Log.SaysAsync("pool 'web': backend 'b1' is to be Draining in the view of its agent: its agent says 'drain'");
    }

    private static Task<ProbeResult?> ProbeAsync(int port, AgentReport? before = null, string? send = null, TimeProvider? time = null)
    {
        var options = new HealthCheckOptions { Type = ProbeType.Agent, Port = port, Send = send };
        var backend = new Backend("a", new EndpointAddress("http", "127.0.0.1", 1), new BackendHealth(new(), TimeProvider.System))
        {
            Agent = before ?? AgentReport.None,
        };
        return new AgentProbe(options, time ?? TimeProvider.System).ProbeAsync(backend, default);
    }
}
