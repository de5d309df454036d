using System.Text;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// The header fields of a response, in the order in which they came. One backend's responses resemble each other: where a line has
/// the bytes of the same line of the response before, its strings are used again.
/// </summary>
internal sealed class HeaderLines
{
    private readonly List<(string Name, string Value)> _lines = [];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>The i-th field.</summary>
    public (string Name, string Value) this[int i] => _lines[i];

    /// <summary>Forgets the fields, but not their strings.</summary>
    public void Clear() => Count = 0;

    /// <summary>Adds a field. Its bytes become characters one by one (ISO 8859-1), so that any value can be passed on as it is.</summary>
    public void Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        var i = Count++;
        if (i == _lines.Count)
        {
            _lines.Add((Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)));
            return;
        }
        var (oldName, oldValue) = _lines[i];
        var sameName = Same(oldName, name);
        var sameValue = Same(oldValue, value);
        if (!sameName || !sameValue)
        {
            _lines[i] = (sameName ? oldName : Encoding.Latin1.GetString(name), sameValue ? oldValue : Encoding.Latin1.GetString(value));
        }
    }

    // Ascii.Equals is vectorised, and false for anything beyond ASCII, for which a new string will do.
    private static bool Same(string text, ReadOnlySpan<byte> bytes) => Ascii.Equals(bytes, text);
}
