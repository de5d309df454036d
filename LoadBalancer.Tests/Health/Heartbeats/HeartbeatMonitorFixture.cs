using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>A pool and the monitor of its heartbeats, without a socket and on a clock that stands still.</summary>
internal abstract class HeartbeatMonitorFixture : IDisposable
{
    protected const string Key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    private readonly LoggerFactory _loggers = new();

    protected FakeClock Clock { get; } = new();

    protected LogRecorder Log { get; } = new();

    protected Dictionary<string, BackendOptions> Options { get; } = [];

    protected BackendPool Pool { get; private set; } = null!;

    protected HeartbeatMonitor Monitor { get; private set; } = null!;

    public void Dispose()
    {
        Monitor?.Dispose();
        _loggers.Dispose();
        Log.Dispose();
    }

    protected void Start(
        Func<HeartbeatOptions, HeartbeatOptions>? change = null, params (string Name, string Address, string HeartbeatAddress)[] backends)
    {
        backends = backends.Length > 0 ? backends : [("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001")];
        foreach (var (name, address, heartbeatAddress) in backends)
        {
            Options[name] = new BackendOptions { Address = TestNode.Parse(address), HeartbeatAddress = TestNode.Parse(heartbeatAddress) };
        }
        Pool = new BackendPool(
            "logic", new RoundRobinPolicy(), [.. backends.Select(backend => NewBackend(backend.Name, backend.Address))]);
        _loggers.AddProvider(Log);
        Monitor = new HeartbeatMonitor(Pool, Clock, _loggers.CreateLogger("heartbeats"));
        Monitor.Apply((change ?? (options => options))(new HeartbeatOptions()), Options);
    }

    protected void StartTwo() => Start(
        options => options, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"), ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));

    protected void Configure(string backend, string heartbeatAddress)
    {
        Options[backend] = Options[backend] with { HeartbeatAddress = TestNode.Parse(heartbeatAddress) };
        Monitor.Apply(new HeartbeatOptions(), Options);
    }

    protected Backend NewBackend(string name, string address) =>
        new(name, TestNode.Parse(address), new BackendHealth(new HealthRules { Heartbeats = true }, Clock));

    protected HeartbeatAnswer Send(string datagram, string source) =>
        Monitor.TakeIn(Encoding.UTF8.GetBytes(datagram), IpPort.From(IPEndPoint.Parse(source).Serialize()));

    protected string Signed(string text, long offset = 0, string key = Key)
    {
        var body = string.Create(CultureInfo.InvariantCulture, $"{text} t={Clock.GetUtcNow().ToUnixTimeMilliseconds() + offset}");
        return $"{body} mac={Convert.ToHexStringLower(HMACSHA256.HashData(Convert.FromBase64String(key), Encoding.UTF8.GetBytes(body)))}";
    }

    protected void Pass(double seconds)
    {
        var end = Clock.GetUtcNow() + TimeSpan.FromSeconds(seconds);
        for (; Clock.GetUtcNow() < end; Monitor.Tick())
        {
            var left = end - Clock.GetUtcNow();
            Clock.Advance(left < HeartbeatMonitor.TickInterval ? left : HeartbeatMonitor.TickInterval);
        }
    }

    protected Backend Backend(string name) => Pool.Snapshot.Members.Single(backend => backend.Name == name);

    protected IEnumerable<string> Up() => Pool.Snapshot.Members.Where(backend => backend.Health.IsUp).Select(backend => backend.Name);
}
