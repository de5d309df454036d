using System.Diagnostics;
using LoadBalancer.Broker;
using LoadBalancer.Cluster;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Upgrade;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Composition;

/// <summary>Where a lease goes when the listener that has it ends. The node has it from the process before; a real etcd.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class NodeMainsTests : IAsyncDisposable
{
    private const string Main = "/lb/edge/main/store";

    private readonly ClusterOptions _options = new() { Name = "edge", Node = "a", LeaseTime = TimeSpan.FromSeconds(30) };
    private readonly BrokerListenerOptions _listener = new() { Address = TestNode.Parse("tcp://127.0.0.1"), Pool = "store" };
    private readonly CancellationTokenSource _stop = new();
    private EtcdServer _etcd = null!;
    private ClusterNode _node = null!;
    private NodeMains _mains = null!;
    private EtcdKey _key = null!;

    public async ValueTask DisposeAsync()
    {
        _mains?.Dispose();
        await (_node?.StopAsync(CancellationToken.None) ?? Task.CompletedTask);
        _node?.Dispose();
        _stop.Dispose();
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Test]
    public async Task Release_AnotherListenerOfTheNameWaits_GoesOnWithTheLease()
    {
        var first = await HoldAsync();
        var next = _mains.For("STORE", _listener);

        await first.ReleaseAsync();
        (await KeyAsync()).Should().Be(_key);
        next.Begin(() => { });

        await Eventually.BeTrueAsync(next.IsHeld, "the next listener has it");
        (await KeyAsync()).Should().Be(_key, "nobody else could have it in between");
        first.IsHeld().Should().BeFalse();
        await first.ReleaseAsync();
        next.IsHeld().Should().BeTrue();
        _mains.HandOver().Should().Equal(new Dictionary<string, long> { ["STORE"] = _key.Lease });
    }

    [Test]
    public async Task Release_AnotherListenerOfTheNameHasBegunAlready_HasItAtOnce()
    {
        var first = await HoldAsync();
        var next = _mains.For("store", _listener);
        next.Begin(() => { });

        await first.ReleaseAsync();

        await Eventually.BeTrueAsync(next.IsHeld, "the next listener has it");
    }

    [Test]
    public async Task Release_TheNextListenerIsGivenUp_IsGivenBack()
    {
        var first = await HoldAsync();
        await _mains.For("store", _listener).ReleaseAsync(); // The change of the configuration has failed.

        await first.ReleaseAsync();

        (await KeyAsync()).Should().BeNull();
        _mains.HandOver().Should().BeEmpty();
    }

    [Test]
    public async Task Release_NodeStops_IsGivenBack()
    {
        var first = await HoldAsync();
        _mains.For("store", _listener);
        await _stop.CancelAsync();

        await first.ReleaseAsync();

        (await KeyAsync()).Should().BeNull();
    }

    [Test]
    public async Task Release_ProcessBeforeRuns_IsNotGivenBack()
    {
        using var before = Process.Start("sleep", ["60"]);
        var first = await HoldAsync(before.Id);
        _mains.Processes.Should().Equal(before.Id, Environment.ProcessId);

        await first.ReleaseAsync();

        first.IsHeld().Should().BeFalse();
        (await KeyAsync()).Should().Be(_key, "that process may still pass answers on");
        before.Kill();
        await before.WaitForExitAsync();
    }

    [Test]
    public async Task Release_ProcessBeforeHasEnded_IsGivenBack()
    {
        using var before = Process.Start("true");
        await before.WaitForExitAsync();
        var first = await HoldAsync(before.Id);
        _mains.Processes.Should().Equal(Environment.ProcessId);

        await first.ReleaseAsync();

        (await KeyAsync()).Should().BeNull();
    }

    private async Task<EtcdKey?> KeyAsync() => (await _node.Etcd.GetAsync(Main, default)).Keys.SingleOrDefault();

    private async Task<MainLease> HoldAsync(params int[] processes)
    {
        _etcd = await EtcdServer.StartAsync();
        var options = _options with { Etcd = [_etcd.Address] };
        _node = new ClusterNode(options, null, () => null, _ => { }, TimeProvider.System, NullLogger.Instance);
        await _node.StartAsync(CancellationToken.None);
        var (lease, _) = await _node.Etcd.GrantAsync(options.LeaseTime, default);
        await _node.Etcd.TransactAsync(
            [], [EtcdChange.Put(Main, "{}", lease), EtcdChange.Put("/lb/edge/terms/store", "{}")], null, default);
        _key = (await KeyAsync())!;
        var handed = new HandedState { Mains = new() { ["store"] = lease }, MainProcesses = [.. processes] };
        _mains = new NodeMains(options, () => _node, handed, NullLogger.Instance, _stop.Token);
        var first = _mains.For("store", _listener);
        first.Begin(() => { });
        await Eventually.BeTrueAsync(first.IsHeld, "it goes on with the lease");
        return first;
    }
}
