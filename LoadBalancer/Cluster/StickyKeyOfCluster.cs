using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>The key of sticky sessions that all nodes use.</summary>
/// <param name="Key">The key, in base64.</param>
/// <param name="IsOfFile">Whether a <c>KeyFile</c> of some node has it; such a key wins over one that a node made.</param>
internal sealed record StickyKeyOfCluster(string Key, bool IsOfFile)
{
    /// <summary>As JSON.</summary>
    public JsonObject ToJson() => new() { ["key"] = Key, ["isOfFile"] = IsOfFile };

    /// <summary>Reads it; null where it is none.</summary>
    public static StickyKeyOfCluster? Read(JsonNode? json) =>
        json is JsonObject && json["key"] is JsonValue key && key.TryGetValue<string>(out var text)
        && Convert.TryFromBase64String(text, new byte[text.Length], out var length) && length >= 32
            ? new StickyKeyOfCluster(text, json["isOfFile"] is JsonValue isOfFile && isOfFile.TryGetValue<bool>(out var from) && from)
            : null;

    /// <inheritdoc/>
    public override string ToString() => IsOfFile ? "the key of a KeyFile" : "a key"; // never the key itself
}
