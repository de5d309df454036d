using System.Buffers;
using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>The head of a request while it is written, in pooled memory that grows.</summary>
internal struct HeadBuffer() : IDisposable
{
    private const int UsualSize = 2048;

    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(UsualSize);
    private int _length;

    /// <summary>What was written; valid until the next write, or until disposed.</summary>
    public readonly ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, _length);

    /// <summary>Appends bytes.</summary>
    public void Append(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Room(bytes.Length));

    /// <summary>Appends a byte.</summary>
    public void Append(byte value) => Room(1)[0] = value;

    /// <summary>Appends text, one byte for each character (ISO 8859-1).</summary>
    public void Append(ReadOnlySpan<char> text) => Latin1Text.Write(text, Room(text.Length));

    /// <summary>Appends ASCII letters in lower case, and all other characters as they are.</summary>
    public void AppendLower(ReadOnlySpan<char> text) => Ascii.ToLower(text, Room(text.Length), out _);

    /// <summary>Appends a decimal number.</summary>
    public void AppendNumber(long number)
    {
        Span<byte> digits = stackalloc byte[20];
        number.TryFormat(digits, out var length, default, CultureInfo.InvariantCulture);
        Append(digits[..length]);
    }

    /// <summary>Appends an address.</summary>
    public void Append(IPAddress address)
    {
        Span<byte> text = stackalloc byte[64];
        address.TryFormat(text, out var length);
        Append(text[..length]);
    }

    /// <inheritdoc/>
    public readonly void Dispose() => ArrayPool<byte>.Shared.Return(_bytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Room(int count)
    {
        if (_bytes.Length - _length < count)
        {
            Grow(count);
        }
        _length += count;
        return _bytes.AsSpan(_length - count, count);
    }

    private void Grow(int count)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(_bytes.Length * 2, _length + count));
        _bytes.AsSpan(0, _length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}
