using System.Text;
using System.Text.Json;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// Reads a JSON file (comments and trailing commas are allowed) into configuration keys. The framework's own reader stops at the first
/// key that is there twice and cannot tell <c>null</c> from <c>{}</c>: here <c>"HealthCheck": null</c> is the same as leaving it out, and
/// <c>"HealthCheck": {}</c> is a health check with all its defaults.
/// </summary>
internal static class JsonFile
{
    private static readonly JsonDocumentOptions Lenient = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    // Skips a byte order mark; invalid bytes are an error.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The value of a key that has an object, so that <c>{}</c> is not the same as an empty text.</summary>
    public const string ObjectMark = "{}";

    /// <summary>The value of a key that has a list.</summary>
    public const string ListMark = "[]";

    /// <summary>The file's keys and values, as far as it could be read; all that is wrong with it is added to the errors.</summary>
    /// <param name="path">The file.</param>
    /// <param name="errors">What is wrong.</param>
    /// <param name="text">What is in it; null where it could not be read.</param>
    public static Dictionary<string, string?> Read(string path, List<ConfigurationError> errors, out string? text)
    {
        text = null;
        try
        {
            text = File.ReadAllText(path, StrictUtf8);
            return Parse(path, text, errors);
        }
        catch (DecoderFallbackException)
        {
            errors.Add(new(path, "is not valid UTF-8"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var isMissing = e is FileNotFoundException or DirectoryNotFoundException;
            errors.Add(new(path, isMissing ? "no such file" : "cannot be read: " + e.Message));
        }
        return new(StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>The keys and values of a text, as far as it could be read; all that is wrong with it is added to the errors.</summary>
    /// <param name="name">What the text is called, for errors of the whole.</param>
    /// <param name="text">The text.</param>
    /// <param name="errors">What is wrong.</param>
    public static Dictionary<string, string?> Parse(string name, string text, List<ConfigurationError> errors)
    {
        var values = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
        try
        {
            using var document = JsonDocument.Parse(text, Lenient);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
            {
                Flatten("", document.RootElement, values, errors);
            }
            else
            {
                errors.Add(new(name, "is not a JSON object"));
            }
        }
        catch (JsonException e)
        {
            var position = $"line {e.LineNumber + 1}, column {e.BytePositionInLine + 1}";
            errors.Add(new(name, $"is not valid JSON at {position}: {e.Message.Split(" LineNumber:")[0]}"));
        }
        catch (InvalidOperationException) // half a surrogate pair
        {
            errors.Add(new(name, "is not valid UTF-8"));
        }
        return values;
    }

    private static void Flatten(string path, JsonElement element, Dictionary<string, string?> values, List<ConfigurationError> errors)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                Mark(path, ObjectMark, values);
                foreach (var property in element.EnumerateObject())
                {
                    var child = Child(path, property.Name);
                    if (values.ContainsKey(child))
                    {
                        errors.Add(new(child, "stands twice in the file"));
                    }
                    Flatten(child, property.Value, values, errors);
                }
                break;
            case JsonValueKind.Array:
                Mark(path, ListMark, values);
                foreach (var (i, item) in element.EnumerateArray().Index())
                {
                    Flatten(Child(path, $"{i}"), item, values, errors);
                }
                break;
            case JsonValueKind.Null:
                Mark(path, null, values); // It has no value, but it is there: its key must be known.
                break;
            default:
                values[path] = element.ToString();
                break;
        }
    }

    private static void Mark(string path, string? mark, Dictionary<string, string?> values)
    {
        if (path.Length > 0)
        {
            values[path] = mark;
        }
    }

    private static string Child(string path, string name) => path.Length == 0 ? name : ConfigurationPath.Combine(path, name);
}
