using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Composition;

/// <summary>What becomes of pools, and of what they hold, when other options are applied. Most of it needs no node that runs.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class NodeApplyTests : IDisposable
{
    private static readonly TimeSpan Long = TimeSpan.FromDays(1);

    private readonly FakeClock _clock = new();
    private Node? _node;

    public void Dispose() => _node?.Dispose();

    [Test]
    public async Task Apply_PoolIsRenamed_OldOneKeepsItsBackendsForAMinute()
    {
        var node = Build(Options("old"));
        var (old, timers) = (node.Pools.Find("old")!, _clock.TimersWithin(Long));

        await node.ApplyAsync(Options("new"));
        node.Pools.All.Select(pool => pool.Name).Should().Equal("new");
        _clock.Advance(TimeSpan.FromSeconds(59));
        old.Snapshot.Eligible.Should().NotBeEmpty();

        _clock.Advance(TimeSpan.FromSeconds(1));
        old.Snapshot.Members.Should().BeEmpty();
        _clock.TimersWithin(Long).Should().Be(timers, "it has left nothing behind");
    }

    [Test]
    public async Task Apply_PoolGoesThatIsInUse_StaysUntilNothingHasUsedItForAMinute()
    {
        var node = Build(Options("old"));
        var old = node.Pools.Find("old")!;
        old.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();

        await node.ApplyAsync(Options("new"));
        _clock.Advance(TimeSpan.FromMinutes(10));
        lease!.Complete(AttemptOutcome.Failed, "broke off");
        old.TryAcquire(new SelectionContext(), out var again).Should().BeTrue("a retry finds the backends");
        again!.Dispose();
        _clock.Advance(TimeSpan.FromMinutes(1));
        old.Snapshot.Members.Should().NotBeEmpty("it was used within the last minute");

        _clock.Advance(TimeSpan.FromMinutes(1));
        old.Snapshot.Members.Should().BeEmpty();
    }

    [Test]
    public async Task Apply_PoolsComeAndGo_NoneIsKeptForEver()
    {
        var node = Build(Options("p0"));
        var pools = new List<WeakReference>();
        for (var i = 1; i <= 10; i++)
        {
            pools.Add(await RenameAsync(node, $"p{i - 1}", $"p{i}"));
        }
        _clock.Advance(TimeSpan.FromMinutes(1));

        for (var i = 0; i < 10 && pools.Any(pool => pool.IsAlive); i++)
        {
            GC.Collect();
        }

        pools.Count(pool => pool.IsAlive).Should().BeLessThan(2, "the stack may still hold one");
    }

    [Test]
    public async Task Apply_TcpListenerComesAndGoes_PoolIsRelayedMeanwhile()
    {
        var before = Options("web", PoolOf("tcp"));
        before = before with { Pools = new Dictionary<string, PoolOptions>(before.Pools, StringComparer.OrdinalIgnoreCase) };
        var tcp = new TcpListenerOptions { Address = Local("tcp"), Pool = "WEB" }; // names do not differ in case
        var node = Build(before);
        var pool = node.Pools.Find("web")!;
        pool.IsRelayed.Should().BeFalse();

        await node.ApplyAsync(before with { Listeners = Add(before.Listeners, "relay", tcp) });
        pool.IsRelayed.Should().BeTrue();

        await node.ApplyAsync(before);
        pool.IsRelayed.Should().BeFalse();
    }

    [Test]
    public async Task Apply_PoolWithHeartbeatsIsRenamed_BackendsStayAsTheyWere()
    {
        var backends = PoolOf("http", "alive", "silent").Backends.ToDictionary(
            entry => entry.Key, entry => entry.Value with { HeartbeatAddress = entry.Value.Address! with { Scheme = "udp" } });
        var heartbeats = new PoolOptions { Heartbeat = new HeartbeatOptions { Address = Local("udp") }, Backends = backends };
        var node = Build(Options("old", heartbeats));
        node.Pools.Find("old")!.ObserveHeartbeat(node.Pools.Find("old")!.Snapshot.Members[0], isAlive: true, "registered");

        await node.ApplyAsync(Options("new", heartbeats));

        node.Pools.Find("new")!.Snapshot.Eligible.Select(backend => backend.Name).Should().Equal("alive");
    }

    [Test]
    public async Task Apply_FailsHalfWay_LeavesNothingBehind()
    {
        var node = Build(Options("web"));
        await node.StartAsync();
        var (timers, port, snapshot) = (_clock.TimersWithin(Long), ReservedPorts.Next(), node.Pools.Find("web")!.Snapshot);
        var authorities = Path.GetTempFileName();
        var trusting = PoolOf("https", "b2") with { Tls = new BackendTlsOptions { AuthorityFile = authorities } };
        var wanted = Options("web", trusting);
        var broken = PoolOf("http") with { StickySession = new StickySessionOptions { KeyFile = "/dev/null" } };

        var apply = () => node.ApplyAsync(wanted with
        {
            Pools = new Dictionary<string, PoolOptions>(wanted.Pools)
            {
                ["beating"] = trusting with { Heartbeat = new HeartbeatOptions { Address = new("udp", "127.0.0.1", port) } },
                ["zzz"] = broken,
            },
        });

        (await apply.Should().ThrowAsync<StartException>()).WithMessage("pool 'zzz': the key of its sticky sessions cannot be read*");
        using (new UdpClient(new IPEndPoint(IPAddress.Loopback, port)))
        {
            // It was reserved, and was given back.
        }
        _clock.TimersWithin(Long).Should().Be(timers, "neither files are watched nor connections");
        node.Pools.All.Should().ContainSingle().Which.Snapshot.Should().BeSameAs(snapshot);
        File.Delete(authorities);
        await node.ApplyAsync(wanted);
        node.Pools.Find("web")!.Snapshot.Members.Single().Name.Should().Be("b2");
        await node.StopAsync();
    }

    [Test]
    public async Task Apply_TooManyBackends_ChangesNothingAnywhere()
    {
        var options = Options("web");
        var two = options with { Pools = Add(options.Pools, "aaa", PoolOf("http")) };
        var node = Build(two);
        var many = PoolOf("http", [.. Enumerable.Range(0, InFlightCounts.MaxSlots).Select(i => $"n{i}")]);

        var pools = new Dictionary<string, PoolOptions> { ["aaa"] = PoolOf("http", "other"), ["web"] = many };
        var apply = () => node.ApplyAsync(options with { Pools = pools });

        (await apply.Should().ThrowAsync<StartException>()).WithMessage("pool 'web': a pool has room for 65536 backends*");
        node.Pools.Find("aaa")!.Snapshot.Members.Single().Name.Should().Be("b1");
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<WeakReference> RenameAsync(Node node, string from, string to)
    {
        var pool = new WeakReference(node.Pools.Find(from));
        await node.ApplyAsync(Options(to));
        return pool;
    }

    private Node Build(LoadBalancerOptions options) => _node = Node.Build(options, _clock);

    private static LoadBalancerOptions Options(string pool, PoolOptions? options = null) => new()
    {
        Listeners = new Dictionary<string, ListenerOptions> { ["web"] = new HttpListenerOptions { Address = Local("http"), Pool = pool } },
        Pools = new Dictionary<string, PoolOptions> { [pool] = options ?? PoolOf("http") },
    };

    // No server listens at these addresses.
    private static PoolOptions PoolOf(string scheme, params string[] names) => new()
    {
        Backends = (names is [] ? ["b1"] : names).Index().ToDictionary(
            entry => entry.Item,
            entry => new BackendOptions { Address = new(scheme, $"127.0.{entry.Index / 60_000}.1", 1 + (entry.Index % 60_000)) }),
    };

    private static EndpointAddress Local(string scheme) => new(scheme, "127.0.0.1", 0);

    private static Dictionary<string, T> Add<T>(IReadOnlyDictionary<string, T> all, string name, T one) => new(all) { [name] = one };
}
