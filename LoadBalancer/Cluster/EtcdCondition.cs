using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>What must hold of a key so that a transaction makes its changes.</summary>
internal sealed class EtcdCondition
{
    private readonly (string Key, string Target, string Field, long Value) _condition;

    private EtcdCondition(string key, string target, string field, long value) => _condition = (key, target, field, value);

    /// <summary>The key is not there.</summary>
    public static EtcdCondition IsAbsent(string key) => new(key, "CREATE", "create_revision", 0);

    /// <summary>The revision that has changed the key last is this one; 0: it is not there.</summary>
    public static EtcdCondition IsChangedAt(string key, long revision) => new(key, "MOD", "mod_revision", revision);

    /// <summary>The key is there with this lease.</summary>
    public static EtcdCondition HasLease(string key, long lease) => new(key, "LEASE", "lease", lease);

    /// <summary>As etcd wants it.</summary>
    public JsonObject ToJson() => new()
    {
        ["key"] = EtcdText.Encode(_condition.Key),
        ["target"] = _condition.Target,
        ["result"] = "EQUAL",
        [_condition.Field] = EtcdText.Number(_condition.Value),
    };
}
