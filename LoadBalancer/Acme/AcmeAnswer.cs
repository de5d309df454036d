using System.Text.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Acme;

/// <summary>An answer of an authority that was no error.</summary>
/// <param name="Text">The body.</param>
/// <param name="Location">The address of what was made; null where nothing was.</param>
/// <param name="RetryAfter">How long to wait before asking again; null where the authority has not said so.</param>
internal sealed record AcmeAnswer(string Text, string? Location, TimeSpan? RetryAfter)
{
    private static readonly JsonDocumentOptions Limits = new() { MaxDepth = 32 };

    private JsonObject? _body;

    /// <summary>The body as a JSON object.</summary>
    /// <exception cref="AcmeException">It is none.</exception>
    public JsonObject Body =>
        _body ??= TryParse(Text) ?? throw new AcmeException("malformedAnswer", "the authority's answer is no JSON object");

    /// <summary>The body's text of a name.</summary>
    /// <exception cref="AcmeException">There is none.</exception>
    public string Get(string name) =>
        Find(Body, name) ?? throw new AcmeException("malformedAnswer", $"the authority's answer has no {name}");

    /// <summary>The text of a name in an object; null where there is none.</summary>
    public static string? Find(JsonNode? json, string name) =>
        json is JsonObject values && values[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    /// <summary>Reads a JSON object; null where the text is none.</summary>
    public static JsonObject? TryParse(string text)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: Limits) as JsonObject;
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            return null;
        }
    }
}
