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
    /// <summary>What it does with the configuration that the cluster shares; null where none was pushed, or it does not share it.</summary>
    public MemberConfiguration? Configuration { get; init; }

    /// <summary>What the API says of it, and the value of its key.</summary>
    public JsonObject ToJson() => new()
    {
        ["name"] = Name,
        ["address"] = Address,
        ["version"] = Version,
        ["since"] = Since,
        ["configuration"] = Configuration?.ToJson(),
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
                name, EtcdText.Text(json, "address"), EtcdText.Text(json, "version"), EtcdText.Text(json, "since"))
            {
                Configuration = MemberConfiguration.Read(EtcdText.Find(json, "configuration")),
            };
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

/// <summary>What a node does with the configuration that the cluster shares.</summary>
/// <param name="Revision">The number of the one that it uses; null where it uses its own file.</param>
/// <param name="Error">Why it does not use the one that was pushed last; null where it does.</param>
internal sealed record MemberConfiguration(long? Revision, string? Error)
{
    /// <summary>As the API says it.</summary>
    public JsonObject ToJson() => new() { ["revision"] = Revision, ["error"] = Error };

    /// <summary>Reads it.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static MemberConfiguration? Read(JsonObject? json) => json is null ? null
        : new MemberConfiguration(EtcdText.Long(json, "revision") is > 0 and var number ? number : null, EtcdText.Text(json, "error"));
}
