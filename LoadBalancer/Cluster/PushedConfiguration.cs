using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>A configuration that was pushed to the cluster. In etcd it is compressed: all nodes read all that are remembered.</summary>
/// <param name="Mark">What is known of it.</param>
/// <param name="Text">Its text, which may have secrets.</param>
internal sealed record PushedConfiguration(PushedMark Mark, string Text)
{
    /// <summary>The largest one that is read, in bytes.</summary>
    public const int Largest = 1024 * 1024;

    /// <summary>As it is in etcd and in the copy on disk.</summary>
    public JsonObject ToJson()
    {
        var json = Mark.ToJson();
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal))
        {
            gzip.Write(Encoding.UTF8.GetBytes(Text));
        }
        json["gzip"] = Convert.ToBase64String(packed.ToArray());
        return json;
    }

    /// <summary>The value of a key.</summary>
    public string ToText() => JsonText.Of(ToJson());

    /// <summary>Reads it; null where it is none.</summary>
    public static PushedConfiguration? TryRead(JsonNode? node)
    {
        try
        {
            return node is not JsonObject json ? null
                : new PushedConfiguration(PushedMark.Read(json), Unpack(json["gzip"]?.GetValue<string>() ?? ""));
        }
        catch (Exception e) when (e is FormatException or InvalidOperationException or InvalidDataException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>Reads the value of a key; null where it is none.</summary>
    public static PushedConfiguration? TryRead(string value)
    {
        try
        {
            return TryRead(JsonNode.Parse(value));
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Reads the value of a key without the text; null where it is none.</summary>
    public static PushedMark? TryReadMark(string value)
    {
        try
        {
            return JsonNode.Parse(value) is JsonObject json ? PushedMark.Read(json) : null;
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or ArgumentException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Mark}"; // never the text

    private static string Unpack(string packed)
    {
        using var gzip = new GZipStream(new MemoryStream(Convert.FromBase64String(packed)), CompressionMode.Decompress);
        using var text = new MemoryStream();
        var buffer = new byte[16 * 1024];
        while (gzip.Read(buffer) is > 0 and var count)
        {
            text.Write(buffer, 0, count);
            if (text.Length > Largest)
            {
                throw new InvalidDataException("it is too large");
            }
        }
        return text.Length > 0 ? Encoding.UTF8.GetString(text.ToArray()) : throw new InvalidDataException("it is empty");
    }
}

/// <summary>What the copy on disk has of it.</summary>
/// <param name="Known">The one that was pushed last, as far as the node knows.</param>
/// <param name="InUse">The one that the node uses, where that is another one, because the node cannot use the last.</param>
internal sealed record PushedCopy(PushedConfiguration Known, PushedConfiguration? InUse)
{
    /// <summary>As JSON.</summary>
    public JsonObject ToJson() => new() { ["known"] = Known.ToJson(), ["inUse"] = InUse?.ToJson() };

    /// <summary>Reads it; null where it is none.</summary>
    public static PushedCopy? TryRead(JsonNode? node) =>
        node is JsonObject json && PushedConfiguration.TryRead(json["known"]) is { } known
            ? new PushedCopy(known, PushedConfiguration.TryRead(json["inUse"])) : null;
}
