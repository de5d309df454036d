using System.Text;

namespace LoadBalancer.Http.Headers;

/// <summary>The header fields that decide how a message is framed and how its connection goes on.</summary>
internal enum HeaderKind
{
    Other,
    Connection,
    KeepAlive,
    ContentLength,
    TransferEncoding,
}

/// <summary>One header field of a response.</summary>
/// <param name="Name">Its name, as the backend wrote it.</param>
/// <param name="Value">Its value, one character for each byte (ISO 8859-1), so that any value can be passed on unchanged.</param>
internal sealed record HeaderLine(string Name, string Value)
{
    /// <summary>Which of them it is.</summary>
    public HeaderKind Kind { get; } = Name.Length switch
    {
        10 when Name.Equals("Connection", StringComparison.OrdinalIgnoreCase) => HeaderKind.Connection,
        10 when Name.Equals("Keep-Alive", StringComparison.OrdinalIgnoreCase) => HeaderKind.KeepAlive,
        14 when Name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase) => HeaderKind.ContentLength,
        17 when Name.Equals("Transfer-Encoding", StringComparison.OrdinalIgnoreCase) => HeaderKind.TransferEncoding,
        _ => HeaderKind.Other,
    };

    /// <summary>The name as <see cref="IHeaderDictionary"/> finds it fastest.</summary>
    public string Key { get; } = HeaderKeys.Of(Name);

    /// <summary>Whether it is passed on to the client.</summary>
    public bool IsReturned { get; } = HeaderRules.IsReturned(Name);

    /// <summary>A bit that is the same for equal names, in any case; different names rarely share it.</summary>
    public ulong NameBit { get; } = 1UL << (Name.GetHashCode(StringComparison.OrdinalIgnoreCase) & 63);

    /// <summary>The bytes that it was read from: over HTTP/1.1 the line with its line end, over HTTP/2 its form in HPACK.</summary>
    public byte[] Raw { get; init; } = [];

    /// <summary>Whether no message may have it; only set where that is known before the message is.</summary>
    public bool IsMalformed { get; init; }
}

/// <summary>
/// The header fields of a response, in the order in which they came. The responses of one backend are similar: a line with the same
/// bytes as the line at the same position of the response before is reused, and need not be parsed and checked again.
/// </summary>
/// <param name="known">
/// The lines seen last, by their position. Shared by all connections to a backend, so that they stay in the processor's caches however
/// many connections there are. Threads may overwrite each other's lines: any of them is valid.
/// </param>
internal sealed class HeaderLines(HeaderLine?[] known)
{
    /// <summary>How many lines of a head are remembered.</summary>
    public const int KnownLines = 32;

    private HeaderLine[] _lines = new HeaderLine[8];
    private ulong _names;

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>Whether a name occurs more than once; of very many fields it is only certain if false.</summary>
    public bool MayRepeat { get; private set; }

    /// <summary>The i-th field.</summary>
    public HeaderLine this[int i] => _lines[i];

    /// <summary>Forgets the fields.</summary>
    public void Clear() => (Count, _names, MayRepeat) = (0, 0, false);

    /// <summary>Adds the next field, if the bytes begin with the line that was at its position the last time.</summary>
    /// <returns>The field, or null where the line must be parsed.</returns>
    public HeaderLine? TryAddKnown(ReadOnlySpan<byte> bytes) =>
        Count < known.Length && known[Count] is { } line && bytes.StartsWith(line.Raw) ? Add(line) : null;

    /// <summary>Adds a field of a head, and remembers its line.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="value">Its value.</param>
    /// <param name="raw">The whole line, with its line end.</param>
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

    /// <summary>The trailers, once a chunked body has ended.</summary>
    public IEnumerable<(string Name, string Value)> Trailers() => _lines.Take(Count).Select(line => (line.Name, line.Value));

    private static HeaderLine Read(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) =>
        new(Encoding.Latin1.GetString(name), Encoding.Latin1.GetString(value));

    /// <summary>Adds a field that was read before.</summary>
    public HeaderLine Add(HeaderLine line)
    {
        if (Count == _lines.Length)
        {
            Array.Resize(ref _lines, Count * 2);
        }
        // In one process of three, as hashes are random, names of usual fields share a bit. It must not pay for that at each response.
        MayRepeat = MayRepeat || (_names & line.NameBit) != 0 && (Count > KnownLines || Has(line.Name));
        _lines[Count++] = line;
        _names |= line.NameBit;
        return line;
    }

    private bool Has(string name)
    {
        foreach (var line in _lines.AsSpan(0, Count))
        {
            if (line.Name.Length == name.Length && line.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }
        return false;
    }
}
