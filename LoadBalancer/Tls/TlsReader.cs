using System.Buffers.Binary;

namespace LoadBalancer.Tls;

/// <summary>
/// Reads numbers and vectors as TLS writes them (RFC 8446 section 3). Where bytes are missing it gives zeros and empty vectors, and is
/// at its end.
/// </summary>
internal ref struct TlsReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _bytes = bytes;

    /// <summary>Whether nothing is left.</summary>
    public readonly bool IsEmpty => _bytes.IsEmpty;

    /// <summary>Leaves out so many bytes.</summary>
    public void Skip(int count) => Take(count);

    /// <summary>A number of one byte.</summary>
    public int Number8() => Take(1) is [var number] ? number : 0;

    /// <summary>A number of two bytes.</summary>
    public int Number16() => Take(2) is { Length: 2 } number ? BinaryPrimitives.ReadUInt16BigEndian(number) : 0;

    /// <summary>A vector whose length has one byte.</summary>
    public ReadOnlySpan<byte> Vector8() => Take(Number8());

    /// <summary>A vector whose length has two bytes.</summary>
    public ReadOnlySpan<byte> Vector16() => Take(Number16());

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > _bytes.Length)
        {
            _bytes = default;
            return default;
        }
        var taken = _bytes[..count];
        _bytes = _bytes[count..];
        return taken;
    }
}
