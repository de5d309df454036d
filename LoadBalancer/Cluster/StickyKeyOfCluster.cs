using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>The key of sticky sessions that all nodes use.</summary>
/// <param name="Key">The key, in base64.</param>
/// <param name="Pool">The pool whose <c>KeyFile</c> has it; null where a node has made it.</param>
internal sealed record StickyKeyOfCluster(string Key, string? Pool)
{
    private const int ShortestKey = 32; // bytes

    /// <summary>The key itself.</summary>
    public byte[] Bytes => Convert.FromBase64String(Key);

    /// <summary>As JSON.</summary>
    public JsonObject ToJson() => new() { ["key"] = Key, ["pool"] = Pool };

    /// <summary>Reads it; null where it is none.</summary>
    public static StickyKeyOfCluster? Read(JsonNode? json) =>
        json is JsonObject members && EtcdText.WholeText(members, "key") is { } key
        && Convert.TryFromBase64String(key, new byte[key.Length], out var length) && length >= ShortestKey
            ? new StickyKeyOfCluster(key, EtcdText.WholeText(members, "pool")) : null;

    /// <inheritdoc/>
    public override string ToString() => Pool is null ? "a key" : $"the key of pool '{Pool}'"; // never the key itself
}
