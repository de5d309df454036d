using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>A change that a transaction makes.</summary>
internal sealed class EtcdChange
{
    private readonly string _key;
    private readonly string? _value; // null: the key is deleted
    private readonly long _lease;

    private EtcdChange(string key, string? value, long lease) => (_key, _value, _lease) = (key, value, lease);

    /// <summary>Writes a key.</summary>
    /// <param name="key">Its name.</param>
    /// <param name="value">Its value.</param>
    /// <param name="lease">The lease with which it ends; 0: it stays.</param>
    public static EtcdChange Put(string key, string value, long lease = 0) => new(key, value, lease);

    /// <summary>Deletes a key, if it is there.</summary>
    public static EtcdChange Delete(string key) => new(key, null, 0);

    /// <summary>As etcd wants it.</summary>
    public JsonObject ToJson() => _value is null
        ? new() { ["request_delete_range"] = new JsonObject { ["key"] = EtcdText.Encode(_key) } }
        : new()
        {
            ["request_put"] = new JsonObject
            {
                ["key"] = EtcdText.Encode(_key),
                ["value"] = EtcdText.Encode(_value),
                ["lease"] = EtcdText.Number(_lease),
            },
        };
}
