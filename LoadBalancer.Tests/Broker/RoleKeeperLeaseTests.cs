using System.Net;
using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Broker;

/// <summary>What a broker does when its lease comes and goes; the lease is the test's.</summary>
[Parallelizable]
internal sealed class RoleKeeperLeaseTests
{
    [Test]
    public async Task Lease_IsLostAndBackBeforeThatIsHandled_BrokerBeginsAnew()
    {
        using var loggers = new LoggerFactory();
        var log = new BrokerLog("store", TimeProvider.System, loggers.CreateLogger<BrokerLog>());
        var options = new BrokerListenerOptions
        {
            Address = TestNode.Parse("tcp://127.0.0.1"),
            Role = BrokerRole.Main,
            Ports = new BrokerPorts
            {
                Clients = 0,
                Workers = 0,
                HealthCheck = 0,
                AlternativePing = 0,
                WorkerCheckClients = 0,
                WorkerCheckWorkers = 0,
            },
        };
        var (isHeld, brokers) = (false, 0);
        Action changed = () => { };
        var lease = new MainLease(
            call => changed = call, () => Volatile.Read(ref isHeld), () => Task.CompletedTask, () => Task.CompletedTask,
            () => (IPAddress?)null, () => { });
        var pool = new BackendPool("store", new FaultyPolicy(() => false), []);
        await using var keeper = new RoleKeeper(
            options,
            () =>
            {
                Interlocked.Increment(ref brokers);
                return new ServingBroker(
                    "store", options, pool, log, new Rejections(log), new ErrorStatistics(TimeProvider.System), new ListenSockets(),
                    TimeProvider.System, lease);
            },
            log, TimeProvider.System, lease);
        await keeper.StartAsync();
        void Say(bool held)
        {
            Volatile.Write(ref isHeld, held);
            changed();
        }

        Say(true);
        await Eventually.BeTrueAsync(() => keeper.State == BrokerState.Serving, "it serves");
        Say(false);
        Say(true);

        await Eventually.BeTrueAsync(
            () => Volatile.Read(ref brokers) == 2 && keeper.State == BrokerState.Serving, "what was not answered meanwhile is lost");
    }
}
