using System.Text;

namespace LoadBalancer.Http.Messages;

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

    /// <summary>A bit that equal names share, whatever their case; different ones rarely do.</summary>
    public ulong NameBit { get; } = 1UL << (Name.GetHashCode(StringComparison.OrdinalIgnoreCase) & 63);

    /// <summary>The line that it was read from, its end included.</summary>
    public byte[] Raw { get; init; } = [];
}

/// <summary>
/// The header fields of a response, in the order in which they came. One backend's responses resemble each other: a line that has
/// the bytes of the line that stood in its place the last time is that line, and need not be taken apart and checked again.
/// </summary>
/// <param name="known">
/// The lines seen last, by their place. Shared by all connections to a backend, so that they stay in the processor's caches however
/// many connections there are; threads may overwrite each other's, for any line seen is as good as another.
/// </param>
internal sealed class HeaderLines(HeaderLine?[] known)
{
    /// <summary>As many places as are worth remembering.</summary>
    public const int UsualMost = 32;

    private HeaderLine[] _lines = new HeaderLine[8];
    private ulong _names;

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>Whether a name may stand in several of them; if not, none does.</summary>
    public bool MayRepeat { get; private set; }

    /// <summary>The i-th field.</summary>
    public HeaderLine this[int i] => _lines[i];

    /// <summary>Forgets the fields.</summary>
    public void Clear() => (Count, _names, MayRepeat) = (0, 0, false);

    /// <summary>Adds the next field, if the bytes begin with the line that stood in its place the last time.</summary>
    /// <returns>The field, or null where the line must be read.</returns>
    public HeaderLine? TryAddKnown(ReadOnlySpan<byte> bytes) =>
        Count < known.Length && known[Count] is { } line && bytes.StartsWith(line.Raw) ? Add(line) : null;

    /// <summary>Adds a field of a head, and remembers its line.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="value">Its value.</param>
    /// <param name="raw">The whole line, its end included.</param>
    public HeaderLine Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, ReadOnlySpan<byte> raw)
    {
        var line = Read(name, value) with { Raw = raw.ToArray() };
        if (Count < known.Length)
        {
            known[Count] = line;
        }
        return Add(line);
    }

    /// <summary>Adds a trailer.</summary>
    public void AddTrailer(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => Add(Read(name, value));

    /// <summary>The fields as trailers, which is what they are once a chunked body has ended.</summary>
    public IEnumerable<(string Name, string Value)> Trailers() => _lines.Take(Count).Select(line => (line.Name, line.Value));

    private static HeaderLine Read(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => new(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value));

    private HeaderLine Add(HeaderLine line)
    {
        if (Count == _lines.Length)
        {
            Array.Resize(ref _lines, Count * 2);
        }
        _lines[Count++] = line;
        MayRepeat |= (_names & line.NameBit) != 0;
        _names |= line.NameBit;
        return line;
    }
}
