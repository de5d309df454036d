using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// Nodes of a cluster as processes, in rounds: some of them, their link to etcd, or etcd fail at random, while clients, workers and
/// operators are at work. LOADBALANCER_CHAOS_ROUNDS sets how many rounds, LOADBALANCER_CHAOS_SEED which ones; without either the rounds are
/// always the same.
/// </summary>
[Platform("Linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Category("Long")]
[Explicit("takes long; .ci/run runs it")]
internal sealed class ClusterChaosTests
{
    private const string Pools = """
        { "web": { "Backends": {
            "b0": { "Address": "BACKEND" }, "b1": { "Address": "BACKEND" }, "b2": { "Address": "BACKEND" },
            "b3": { "Address": "BACKEND" } } },
          "store": {}TASKS }
        """;

    private const int UsualSeed = 1642336596;

    private readonly ConcurrentBag<string> _wrong = [];
    private readonly Stopwatch _time = Stopwatch.StartNew();
    private EtcdServer _etcd = null!;
    private List<ChaosNode> _nodes = [];
    private List<ChaosOperator> _operators = [];
    private string[] _addresses = [];
    private Random _random = null!;

    [Test]
    [TimeLimit(1800)]
    public async Task Cluster_PartsFailAtRandom_HasOneMainLosesNoRequestAndForgetsNoChange([Values(2, 3)] int count)
    {
        var wanted = Variable("LOADBALANCER_CHAOS_ROUNDS");
        var (rounds, seed) = (wanted ?? 4, Variable("LOADBALANCER_CHAOS_SEED") ?? (wanted is null ? UsualSeed : Random.Shared.Next()));
        await SayAsync($"{count} nodes, {rounds} rounds, seed {seed}");
        _random = new Random(seed);
        using var directory = new TemporaryDirectory();
        await using var etcd = await EtcdServer.StartAsync();
        _etcd = etcd;
        var rabbit = rounds > 10 ? await RabbitServer.GetAsync() : null; // It takes long to start.
        var queue = rabbit is null ? null
            : $$"""{ "Engine": "RabbitMq", "Uri": "{{rabbit.Uri}}", "Name": "chaos.{{Guid.NewGuid():N}}" }""";
        await using var backend = await KestrelBackend.StartAsync(context => context.Response.WriteAsync("here"), HttpProtocols.Http1);
        await using var other = await KestrelBackend.StartAsync(context => context.Response.WriteAsync("there"), HttpProtocols.Http1);
        _addresses = [backend.Address, other.Address];
        var pools = Pools.Replace("BACKEND", backend.Address, StringComparison.Ordinal)
            .Replace("TASKS", queue is null ? "" : """, "tasks": {}""", StringComparison.Ordinal);
        _nodes = [.. "abc"[..count].Select(name => new ChaosNode($"{name}", etcd, directory, pools, queue))];
        await using var mains = new MainsSeen();
        await using var traffic = new ChaosTraffic(_nodes, mains, _wrong.Add);
        try
        {
            await Task.WhenAll(_nodes.Select(node => node.StartAsync()));
            traffic.Start(hasTasks: queue is not null);
            _operators = [.. Enumerable.Range(1, 3).Select(number =>
                new ChaosOperator(number, _nodes, _addresses, new Random(_random.Next()), _wrong.Add))];
            for (var round = 1; round <= rounds; round++)
            {
                await RoundAsync(round, traffic);
                _wrong.Concat(mains.Wrong(_nodes)).Should().BeEmpty($"seed {seed}, round {round}");
            }
            await traffic.DisposeAsync();
            await SayAsync($"answers: {traffic.Answers}, of brokers: {traffic.Brokered}, results of tasks: {traffic.Results}, "
                + $"changes: {_operators.Sum(one => one.Done)}, perhaps {_operators.Sum(one => one.Unknown)}; mains seen: {mains.Count}");
            _nodes.SelectMany(node => node.Errors).Should().BeEmpty();
        }
        catch
        {
            await SayAsync(string.Join('\n', _nodes.Select(node => node.Log)));
            throw;
        }
        finally
        {
            foreach (var node in _nodes)
            {
                await node.DisposeAsync();
            }
        }
    }

    private async Task RoundAsync(int round, ChaosTraffic traffic)
    {
        using var over = new CancellationTokenSource();
        var operating = _operators.Select(one => one.RunAsync(over.Token)).ToList();
        var faults = Enumerable.Range(0, _random.Next(3) == 0 ? 2 : 1).Select(_ => _random.Next(-1, _nodes.Count)).Distinct().ToList();
        await Task.WhenAll(faults.Select(where => FailAsync(round, where)));
        await over.CancelAsync();
        await Task.WhenAll(operating);
        await AgreeAsync();
        var before = traffic.Brokered;
        await Eventually.BeTrueAsync(() => traffic.Brokered > before + 5, "a broker answers");
    }

    // A node, or etcd where that is -1.
    private async Task FailAsync(int round, int where)
    {
        var (what, delay) = (_random.Next(5), TimeSpan.FromMilliseconds(_random.Next(100, 4000)));
        var node = where < 0 ? null : _nodes[where];
        var name = node is null ? "etcd is killed" : what switch
        {
            0 => $"node '{node.Name}' is killed",
            1 => $"node '{node.Name}' is stopped",
            2 => $"node '{node.Name}' is cut off from etcd",
            3 => $"node '{node.Name}' is replaced by a new process",
            _ => $"node '{node.Name}' is ended",
        };
        await SayAsync($"{_time.Elapsed.TotalSeconds:0.0} s, round {round}: {name} for {delay.TotalSeconds:0.0} s");
        await Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System); // for changes
        await (node is null ? _etcd.KillAsync() : what switch
        {
            0 => node.KillAsync(),
            1 => Task.Run(node.Stop),
            2 => Task.Run(node.Etcd.FallSilent),
            3 => ReplaceAsync(node),
            _ => node.TerminateAsync(),
        });
        await Task.Delay(delay, TimeProvider.System);
        await (node is null ? _etcd.RestartAsync() : what switch
        {
            1 => Task.Run(node.Continue),
            2 => Task.Run(node.Etcd.Recover),
            3 => Task.CompletedTask,
            _ => node.StartAsync(),
        });
        await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System);
    }

    private async Task ReplaceAsync(ChaosNode node)
    {
        if (await node.ReplaceAsync() is { } reason)
        {
            _wrong.Add($"node '{node.Name}' cannot be replaced: {reason}");
        }
    }

    // All nodes show the same, and what may be.
    private async Task AgreeAsync()
    {
        var shown = new List<JsonArray>();
        await Eventually.BeTrueAsync(
            async () =>
            {
                shown.Clear();
                foreach (var node in _nodes)
                {
                    if (!(await AskAsync(node, "/api/cluster"))["connected"]!.GetValue<bool>())
                    {
                        return false;
                    }
                    var pools = (await AskAsync(node, "/api/pools"))["pools"]!.AsArray();
                    shown.Add(pools.Single(pool => $"{pool!["name"]}" == "web")!["backends"]!.AsArray());
                }
                return shown.Select(Text).Distinct().Count() == 1;
            },
            "all nodes are connected and agree");
        foreach (var (node, backends) in _nodes.Zip(shown))
        {
            _operators.ForEach(one => one.Check(node, backends));
        }
    }

    private static string Text(JsonArray backends) => string.Join(", ", backends
        .Select(backend => $"{backend!["name"]} {backend["address"]} {backend["weight"]} {backend["adminState"]}").Order());

    private static async Task<JsonNode> AskAsync(ChaosNode node, string path)
    {
        using var client = new HttpClient();
        return JsonNode.Parse(await client.GetStringAsync($"http://127.0.0.1:{node.Management}{path}"))!;
    }

    private static int? Variable(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    private static Task SayAsync(string text) => TestContext.Progress.WriteLineAsync(text);
}
