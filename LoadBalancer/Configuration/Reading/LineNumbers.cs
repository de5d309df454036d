using System.Text;
using System.Text.Json;

namespace LoadBalancer.Configuration.Reading;

/// <summary>The lines of a configuration file in which its keys are. Made only where there is something to report.</summary>
internal sealed class LineNumbers
{
    private static readonly JsonReaderOptions Lenient = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    private readonly Dictionary<string, int> _lines = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Reads a file's text, which must be valid JSON.</summary>
    public LineNumbers(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var reader = new Utf8JsonReader(bytes, Lenient);
        var (line, counted) = (1, 0);
        // The path of the object or list that is read, and how many items of the list there have been; null in an object.
        var outer = new Stack<(string Path, int? Items)>();
        var path = "";
        while (reader.Read())
        {
            var start = (int)reader.TokenStartIndex;
            (line, counted) = (line + bytes.AsSpan(counted..start).Count((byte)'\n'), start);
            if (reader.TokenType == JsonTokenType.PropertyName)
            {
                path = Child(outer.Peek().Path, reader.GetString()!);
                _lines[path] = line;
                continue;
            }
            if (reader.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray)
            {
                outer.Pop();
                continue;
            }
            if (outer.TryPeek(out var list) && list.Items is { } item)
            {
                path = Child(list.Path, $"{item}");
                _lines[path] = line;
                outer.Push(outer.Pop() with { Items = item + 1 });
            }
            if (reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray)
            {
                outer.Push((path, reader.TokenType == JsonTokenType.StartArray ? 0 : null));
            }
        }
    }

    /// <summary>The line of a key, or of the nearest section around it that is in the file; null where there is none.</summary>
    public int? Find(string path)
    {
        for (var known = path; ; known = known[..known.LastIndexOf(':')])
        {
            if (_lines.TryGetValue(known, out var line))
            {
                return line;
            }
            if (!known.Contains(':', StringComparison.Ordinal))
            {
                return null;
            }
        }
    }

    private static string Child(string path, string name) => path.Length == 0 ? name : ConfigurationPath.Combine(path, name);
}
