using System.Text;

namespace LoadBalancer.Http.Upstream;

/// <summary>One header field of a response.</summary>
/// <param name="Name">As the backend wrote it.</param>
/// <param name="Value">Its bytes as characters, one by one (ISO 8859-1), so that any value can be passed on as it is.</param>
internal sealed record HeaderLine(string Name, string Value)
{
    /// <summary>Whether it goes on to the client.</summary>
    public bool IsReturned { get; } = HeaderRules.IsReturned(Name);

    /// <summary>Whether these are its bytes.</summary>
    // Ascii.Equals is vectorised, and false for anything beyond ASCII, for which a new line will do.
    public bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => Ascii.Equals(value, Value) && Ascii.Equals(name, Name);
}

/// <summary>
/// The header fields of a response, in the order in which they came. One backend's responses resemble each other: a field that has
/// the bytes of the same field of the response before is that field, strings and all.
/// </summary>
internal sealed class HeaderLines
{
    private readonly List<HeaderLine> _lines = [];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>The i-th field.</summary>
    public HeaderLine this[int i] => _lines[i];

    /// <summary>Forgets the fields, but keeps them for comparison.</summary>
    public void Clear() => Count = 0;

    /// <summary>Adds a field.</summary>
    public void Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        var i = Count++;
        if (i == _lines.Count)
        {
            _lines.Add(Make(name, value));
        }
        else if (!_lines[i].Is(name, value))
        {
            _lines[i] = Make(name, value);
        }
    }

    private static HeaderLine Make(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => new(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value));
}
