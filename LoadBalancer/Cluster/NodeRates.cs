using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>
/// What each node of a cluster is doing, for the dashboards of all. A browser need not reach the other nodes, and no node needs the
/// token of another one: each writes a few numbers into a key that ends with its lease. That is done only while somebody looks at the
/// dashboard of some node, and ten times a second at most by all nodes together.
/// </summary>
internal sealed class NodeRates
{
    /// <summary>How long after a question the numbers are kept up to date.</summary>
    public static readonly TimeSpan Interest = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Look = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortestInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TurnOfNode = TimeSpan.FromMilliseconds(100);
    private static readonly string[] Fields = ["requestsPerSecond", "errorShare", "p50Ms", "p99Ms", "inFlight", "backends", "down"];

    private readonly ClusterNode _cluster;
    private readonly string _node;
    private readonly Func<JsonObject?> _own;
    private readonly Random _random;
    private readonly ClusterLog _log;
    private long _askedAt = -1;
    private (long Since, TimeSpan Pause)? _next; // when the numbers are written; null: nobody looks

    /// <summary>Makes it; nothing is sent before a question.</summary>
    /// <param name="cluster">This node's part in its cluster, not started yet.</param>
    /// <param name="node">The name of this node.</param>
    /// <param name="own">What this node is doing; null where it does not know.</param>
    /// <param name="random">Lets the nodes take turns.</param>
    /// <param name="log">Gets what is unexpected.</param>
    public NodeRates(ClusterNode cluster, string node, Func<JsonObject?> own, Random random, ClusterLog log)
    {
        (_cluster, _node, _own, _random, _log) = (cluster, node, own, random, log);
        cluster.Add(RunAsync, "telling the other nodes what this one is doing");
    }

    private string ViewersPrefix => _cluster.Prefix + "viewers/";

    private string RatesPrefix => _cluster.Prefix + "rates/";

    /// <summary>
    /// What the API says of the cluster; where that is wanted with the <c>rates</c> of each node: those of this node as they are now, those
    /// of the others as old as an interval, null where they are not known yet. Then the nodes go on telling them for a while.
    /// </summary>
    public JsonObject Describe(bool wantsRates)
    {
        var json = _cluster.Describe();
        if (!wantsRates)
        {
            return json;
        }
        Interlocked.Exchange(ref _askedAt, _cluster.Clock.GetTimestamp());
        foreach (var node in json["nodes"]!.AsArray().OfType<JsonObject>())
        {
            var name = $"{node["name"]}";
            node["rates"] = name == _node ? _own() : Read(_cluster.Keys.Current.Keys.GetValueOrDefault(RatesPrefix + name)?.Value);
        }
        return json;
    }

    /// <summary>How often a node of so many writes its numbers while somebody looks.</summary>
    public static TimeSpan IntervalOf(int nodes) => TurnOfNode * nodes > ShortestInterval ? TurnOfNode * nodes : ShortestInterval;

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await Task.Delay(Look, _cluster.Clock, cancellationToken);
            try
            {
                if (_cluster.IsConnected)
                {
                    await TellAsync(cancellationToken);
                }
            }
            catch (EtcdException)
            {
                // Without etcd nobody would see it. The next turn tries again.
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                _log.Unexpected(e, "telling the other nodes what this one is doing");
            }
        }
    }

    private async Task TellAsync(CancellationToken cancellationToken)
    {
        var (clock, keys) = (_cluster.Clock, _cluster.Keys.Current.Keys);
        var isAsked = Interlocked.Read(ref _askedAt) is >= 0 and var askedAt && clock.GetElapsedTime(askedAt) < Interest;
        if (isAsked != keys.ContainsKey(ViewersPrefix + _node))
        {
            await WriteAsync(ViewersPrefix + _node, isAsked ? "{}" : null, cancellationToken);
        }
        if (!keys.Keys.Any(key => key.StartsWith(ViewersPrefix, StringComparison.Ordinal)))
        {
            _next = null;
            if (keys.ContainsKey(RatesPrefix + _node))
            {
                await WriteAsync(RatesPrefix + _node, null, cancellationToken); // Old numbers are not shown to the next one who looks.
            }
            return;
        }
        var interval = IntervalOf(_cluster.Nodes.Count);
        _next ??= (clock.GetTimestamp(), TurnOfNode * _cluster.Nodes.Count * _random.NextDouble()); // not all at once
        if (clock.GetElapsedTime(_next.Value.Since) >= _next.Value.Pause && _own() is { } own)
        {
            _next = (clock.GetTimestamp(), interval - Look / 2);
            await WriteAsync(RatesPrefix + _node, JsonText.Of(own), cancellationToken);
        }
    }

    private async Task WriteAsync(string key, string? value, CancellationToken cancellationToken)
    {
        if (_cluster.LeaseId is var lease && (value is null || lease != 0)) // Without a lease it would stay for ever.
        {
            await _cluster.Etcd.TransactAsync(
                [], [value is null ? EtcdChange.Delete(key) : EtcdChange.Put(key, value, lease)], null, cancellationToken);
        }
    }

    // Only numbers: anybody may have written the key.
    private static JsonObject? Read(string? value)
    {
        try
        {
            var json = value is null ? null : EtcdText.Object(System.Text.Encoding.UTF8.GetBytes(value));
            return json is null ? null : new JsonObject(Fields.Select(field => KeyValuePair.Create(field, (JsonNode?)Number(json[field]))));
        }
        catch (FormatException)
        {
            return null;
        }

        static double? Number(JsonNode? node) =>
            node is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number) ? number : null;
    }
}
