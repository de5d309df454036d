using System.Text;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Decodes the field sections of one connection (RFC 7541). It keeps the dynamic table, so it must be given every section, in order; also
/// those of streams that are no longer wanted.
/// </summary>
/// <param name="known">
/// The literal fields seen last, by their position in the section: a backend's responses are similar, and a field with the same bytes need
/// not be decoded and checked again. Shared by all connections to a backend; threads may overwrite each other's fields.
/// </param>
internal sealed class HpackDecoder(HeaderLine?[] known)
{
    /// <summary>The size of the dynamic table, as RFC 7541 counts it; the default of SETTINGS_HEADER_TABLE_SIZE.</summary>
    public const int TableSize = 4096;

    private const int EntryOverhead = 32; // section 4.1
    private const int MaxInteger = 1 << 28;

    private readonly HeaderLine[] _table = new HeaderLine[TableSize / EntryOverhead]; // a ring
    private int _newest = -1;
    private int _count;
    private int _size;
    private int _maxSize = TableSize;

    /// <summary>How much a field counts in the table, and in SETTINGS_MAX_HEADER_LIST_SIZE.</summary>
    public static int SizeOf(HeaderLine line) => line.Name.Length + line.Value.Length + EntryOverhead;

    /// <summary>Decodes a section.</summary>
    /// <param name="block">All of its bytes.</param>
    /// <param name="to">Gets the fields.</param>
    /// <exception cref="Http2ConnectionException">It is not valid; the table is lost with it.</exception>
    public void Decode(ReadOnlySpan<byte> block, FieldSection to)
    {
        for (var position = to.IsTrailers ? known.Length / 2 : 0; !block.IsEmpty; position++)
        {
            var first = block[0];
            if (first < 0x20 && position < known.Length && known[position] is { } before && block.StartsWith(before.Raw))
            {
                to.Add(before);
                block = block[before.Raw.Length..];
            }
            else if (first >= 0x80) // section 6.1: an indexed field
            {
                to.Add(Get(ReadInteger(ref block, 0x7f)));
            }
            else if (first >= 0x40) // section 6.2.1: a literal, to be added to the table
            {
                var line = ReadLiteral(ref block, 0x3f, out _);
                Insert(line);
                to.Add(line);
            }
            else if (first >= 0x20) // section 6.3
            {
                Resize(ReadInteger(ref block, 0x1f), to.IsEmpty);
            }
            else // section 6.2.2, 6.2.3: a literal, not to be added
            {
                var whole = block;
                var line = ReadLiteral(ref block, 0xf, out var index);
                if (index <= HpackStaticTable.Count && position < known.Length)
                {
                    line = line with { Raw = whole[..^block.Length].ToArray() };
                    known[position] = line;
                }
                to.Add(line);
            }
        }
    }

    private static HeaderLine Line(string name, string value) => new(name, value) { IsMalformed = FieldSection.IsMalformed(name, value) };

    private HeaderLine ReadLiteral(ref ReadOnlySpan<byte> block, int mask, out int index)
    {
        index = ReadInteger(ref block, mask);
        var name = index == 0 ? ReadString(ref block) : Get(index).Name;
        return Line(name, ReadString(ref block));
    }

    // Section 5.2.
    private static string ReadString(ref ReadOnlySpan<byte> block)
    {
        var isHuffman = !block.IsEmpty && block[0] >= 0x80;
        var length = ReadInteger(ref block, 0x7f);
        if (length > block.Length)
        {
            throw Invalid("a string that ends after its section");
        }
        var bytes = block[..length];
        block = block[length..];
        return isHuffman ? HuffmanDecoder.Decode(bytes) : Encoding.Latin1.GetString(bytes);
    }

    // Section 5.1.
    private static int ReadInteger(ref ReadOnlySpan<byte> block, int mask)
    {
        var value = block.IsEmpty ? throw Invalid("a section that ends too early") : block[0] & mask;
        block = block[1..];
        if (value < mask)
        {
            return value;
        }
        for (var shift = 0; !block.IsEmpty && shift <= 21; shift += 7)
        {
            var next = block[0];
            block = block[1..];
            value += (next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value < MaxInteger ? value : throw Invalid("an absurd number");
            }
        }
        throw Invalid("a number without end");
    }

    private HeaderLine Get(int index) =>
        index == 0 ? throw Invalid("index 0")
        : index <= HpackStaticTable.Count ? HpackStaticTable.Get(index)
        : index - HpackStaticTable.Count <= _count ? _table[Slot(index - HpackStaticTable.Count - 1)]
        : throw Invalid("an index beyond the table");

    private int Slot(int age) => (_newest - age + _table.Length) % _table.Length;

    // Section 4.4: an entry that is larger than the table empties it.
    private void Insert(HeaderLine line)
    {
        var size = SizeOf(line);
        Evict(_maxSize - size);
        if (size <= _maxSize)
        {
            _newest = (_newest + 1) % _table.Length;
            _table[_newest] = line;
            _count++;
            _size += size;
        }
    }

    private void Resize(int size, bool isAtStart)
    {
        if (!isAtStart || size > TableSize)
        {
            throw Invalid("a change of the table's size that is not allowed");
        }
        _maxSize = size;
        Evict(size);
    }

    private void Evict(int most)
    {
        while (_size > most && _count > 0)
        {
            _size -= SizeOf(_table[Slot(_count - 1)]);
            _count--;
        }
    }

    private static Http2ConnectionException Invalid(string what) => new(Http2Error.CompressionError, $"a field section with {what}");
}
