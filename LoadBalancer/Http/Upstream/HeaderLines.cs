using System.Text;

namespace LoadBalancer.Http.Upstream;

/// <summary>What a header field says about its message, beyond itself.</summary>
internal enum HeaderKind
{
    Other,
    Connection,
    ContentLength,
    TransferEncoding,
}

/// <summary>One header field of a response.</summary>
/// <param name="Name">As the backend wrote it.</param>
/// <param name="Value">Its bytes as characters, one by one (ISO 8859-1), so that any value can be passed on as it is.</param>
internal sealed record HeaderLine(string Name, string Value)
{
    /// <summary>Whether it frames the message.</summary>
    public HeaderKind Kind { get; } = Name.Length switch
    {
        10 when Name.Equals("Connection", StringComparison.OrdinalIgnoreCase) => HeaderKind.Connection,
        14 when Name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase) => HeaderKind.ContentLength,
        17 when Name.Equals("Transfer-Encoding", StringComparison.OrdinalIgnoreCase) => HeaderKind.TransferEncoding,
        _ => HeaderKind.Other,
    };

    /// <summary>Whether it goes on to the client.</summary>
    public bool IsReturned { get; } = HeaderRules.IsReturned(Name);

    /// <summary>The line that it was read from, its end included.</summary>
    public byte[] Raw { get; init; } = [];
}

/// <summary>
/// The header fields of a response, in the order in which they came. One backend's responses resemble each other: a line that has
/// the bytes of the same line of the response before is that line, and need not be taken apart and checked again.
/// </summary>
internal sealed class HeaderLines
{
    private readonly List<HeaderLine> _lines = [];
    private int _examined = -1; // how many lines _repeats is about; none while they have changed since
    private bool _repeats;

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>Whether a name stands in several of them.</summary>
    public bool HasRepeats
    {
        get
        {
            if (_examined != Count)
            {
                _repeats = _lines.Take(Count).DistinctBy(line => line.Name, StringComparer.OrdinalIgnoreCase).Count() < Count;
                _examined = Count;
            }
            return _repeats;
        }
    }

    /// <summary>The i-th field.</summary>
    public HeaderLine this[int i] => _lines[i];

    /// <summary>Forgets the fields, but keeps them for comparison.</summary>
    public void Clear() => Count = 0;

    /// <summary>Adds the next field, if the bytes begin with the line that it was read from last time.</summary>
    /// <returns>The field, or null where the line must be read.</returns>
    public HeaderLine? TryAddKnown(ReadOnlySpan<byte> bytes) =>
        Count < _lines.Count && bytes.StartsWith(_lines[Count].Raw) ? _lines[Count++] : null;

    /// <summary>Adds a field.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="value">Its value.</param>
    /// <param name="raw">The whole line, its end included.</param>
    public HeaderLine Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, ReadOnlySpan<byte> raw)
    {
        var line = new HeaderLine(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value)) { Raw = raw.ToArray() };
        if (Count == _lines.Count)
        {
            _lines.Add(line);
        }
        else
        {
            _lines[Count] = line;
        }
        Count++;
        _examined = -1;
        return line;
    }
}
