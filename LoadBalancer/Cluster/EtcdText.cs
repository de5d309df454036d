using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>
/// JSON as etcd's gateway has it: names and values in base64, numbers of 64 bits as text, and what is 0 or empty is left out.
/// </summary>
internal static class EtcdText
{
    private const int LongestError = 200; // characters

    // Otherwise it would be found only when a member is read.
    private static readonly JsonDocumentOptions NoNameTwice = new() { AllowDuplicateProperties = false };

    /// <summary>A name or a value.</summary>
    public static string Encode(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    /// <summary>A number.</summary>
    public static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>The name after all names that begin with this one, which must be ASCII.</summary>
    public static string After(string prefix) => prefix[..^1] + (char)(prefix[^1] + 1);

    /// <summary>Reads an answer.</summary>
    /// <exception cref="FormatException">It is none, or an object in it has a name twice.</exception>
    public static JsonObject Object(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonNode.Parse(json, null, NoNameTwice) as JsonObject ?? throw new FormatException("no JSON object");
        }
        // The second: half of a surrogate pair in a name.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new FormatException("no JSON object", e);
        }
    }

    /// <summary>Reads a member that is an object; null where it is not there.</summary>
    public static JsonObject? Find(JsonObject json, string member) => json[member] as JsonObject;

    /// <summary>Reads the objects of a member that is a list.</summary>
    public static IEnumerable<JsonObject> List(JsonObject json, string member) => (json[member] as JsonArray ?? []).OfType<JsonObject>();

    /// <summary>Reads a member that is a number.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static long Long(JsonObject json, string member) => json[member] is not { } value ? 0
        : long.TryParse($"{value}", NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number
        : throw new FormatException($"no number in {member}");

    /// <summary>Reads a member that is true or not.</summary>
    public static bool Is(JsonObject json, string member) =>
        json[member] is JsonValue value && value.TryGetValue(out bool isTrue) && isTrue;

    /// <summary>Reads a member that is a text, for people; null where it is none.</summary>
    public static string? Text(JsonObject json, string member) => WholeText(json, member) is { } text ? Clean(text) : null;

    /// <summary>Reads a member that is a text; null where it is none.</summary>
    public static string? WholeText(JsonObject json, string member)
    {
        try
        {
            return json[member] is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        }
        catch (InvalidOperationException)
        {
            return null; // Half of a surrogate pair, which is found only here.
        }
    }

    /// <summary>Reads the header.</summary>
    /// <exception cref="FormatException">There is none.</exception>
    public static EtcdHeader Header(JsonObject answer) => Find(answer, "header") is { } header
        ? new EtcdHeader($"{header["cluster_id"]}", Long(header, "revision")) : throw new FormatException("no header");

    /// <summary>Reads a key.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static EtcdKey Key(JsonObject key) => new(
        Decode(key, "key"), Decode(key, "value"), Long(key, "create_revision"), Long(key, "mod_revision"), Long(key, "lease"));

    /// <summary>Text of a server, so that it can be shown: one line, and not too long.</summary>
    public static string Clean(string text)
    {
        // A surrogate pair stays whole: half of one is no text.
        var length = text.Length <= LongestError ? text.Length
            : char.IsHighSurrogate(text[LongestError - 1]) ? LongestError - 1 : LongestError;
        return new([.. text.Take(length).Select(c => char.IsControl(c) ? ' ' : c)]);
    }

    private static string Decode(JsonObject json, string member) =>
        Encoding.UTF8.GetString(Convert.FromBase64String($"{json[member]}"));
}
