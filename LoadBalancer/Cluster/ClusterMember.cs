using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>A node of the cluster, as its key says.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Address">Its management listener; null where it has none.</param>
/// <param name="Version">The version of its program.</param>
/// <param name="Since">When it was started, as ISO 8601 in UTC.</param>
internal sealed record ClusterMember(string Name, string? Address, string? Version, string? Since)
{
    /// <summary>What the API says of it, and the value of its key.</summary>
    public JsonObject ToJson() => new()
    {
        ["name"] = Name,
        ["address"] = Address,
        ["version"] = Version,
        ["since"] = Since,
        ["configuration"] = null,
    };

    /// <summary>Reads the value of a key; of one that somebody else wrote only the name is known.</summary>
    /// <param name="name">The name in the key, which counts.</param>
    /// <param name="value">The value.</param>
    public static ClusterMember Read(string name, string value)
    {
        name = EtcdText.Clean(name);
        try
        {
            var json = EtcdText.Object(System.Text.Encoding.UTF8.GetBytes(value));
            return new ClusterMember(
                name, EtcdText.Text(json, "address"), EtcdText.Text(json, "version"), EtcdText.Text(json, "since"));
        }
        catch (FormatException)
        {
            return new ClusterMember(name, null, null, null);
        }
    }

    /// <summary>The value of its key.</summary>
    public string ToText() => JsonText.Of(ToJson());

    /// <summary>For people.</summary>
    public override string ToString() =>
        $"node '{Name}' at {Address ?? "an unknown address"}, there since {Since ?? "an unknown time"}";
}
