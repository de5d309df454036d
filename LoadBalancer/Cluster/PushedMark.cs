using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>What is known of a configuration that was pushed to the cluster, beside its text.</summary>
/// <param name="Number">Its number: 1, 2, 3…</param>
/// <param name="Time">When it was pushed, by the clock of the node that was asked; later than everything that node knew.</param>
/// <param name="Node">That node.</param>
/// <param name="User">The name of the user's token; <c>-</c> where none is required.</param>
/// <param name="RollbackOf">The number of the one that it repeats; null where it is a new one.</param>
internal sealed record PushedMark(long Number, DateTimeOffset Time, string Node, string User, long? RollbackOf)
{
    /// <summary>Whether this one holds where both are there. Of two, one does.</summary>
    public bool IsLaterThan(PushedMark? other) =>
        other is null || (Time != other.Time ? Time > other.Time
            : Number != other.Number ? Number > other.Number : string.CompareOrdinal(Node, other.Node) > 0);

    /// <summary>What the API says of it, and what is in etcd.</summary>
    public JsonObject ToJson() => new()
    {
        ["revision"] = Number,
        ["time"] = SharedText.Time(Time),
        ["node"] = Node,
        ["user"] = User,
        ["rollbackOf"] = RollbackOf,
    };

    /// <summary>As text.</summary>
    public string ToText() => JsonText.Of(ToJson());

    /// <summary>Reads it.</summary>
    /// <exception cref="FormatException">It is none. Others for JSON are possible too.</exception>
    public static PushedMark Read(JsonObject json) => new(
        EtcdText.Long(json, "revision") is > 0 and var number ? number : throw new FormatException("there is no revision"),
        SharedText.ReadTime(json["time"]?.GetValue<string>() ?? ""), EtcdText.Text(json, "node") ?? "", EtcdText.Text(json, "user") ?? "-",
        EtcdText.Long(json, "rollbackOf") is > 0 and var former ? former : null);

    /// <summary>For people.</summary>
    public override string ToString() => $"configuration {Number}, pushed at node '{Node}' by '{User}'";
}
