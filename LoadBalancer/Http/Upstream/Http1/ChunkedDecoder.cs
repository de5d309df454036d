using System.Buffers;
using System.Globalization;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// Decodes the chunked coding (RFC 9112 section 7.1) from pieces of any size. Sizes must be hexadecimal digits and lines must end in
/// CRLF: coding that another program may read differently is rejected, never repaired.
/// </summary>
internal struct ChunkedDecoder
{
    // Extensions are ignored, so a longer line has no legitimate use.
    private const int MaxLine = 4096;
    private const int MaxTrailers = 64 * 1024;

    private static readonly SearchValues<byte> HexDigits = SearchValues.Create("0123456789ABCDEFabcdef"u8);

    private State _state;
    private long _left;          // of the chunk's data
    private int _trailerBytes;

    private enum State { Size, Data, DataEnd, Trailers, Done }

    /// <summary>Whether the last chunk and the trailers have been read.</summary>
    public readonly bool IsDone => _state == State.Done;

    /// <summary>How many bytes of data must follow before the next framing; 0 where framing comes next.</summary>
    public readonly long DataLeft => _state == State.Data ? _left : 0;

    /// <summary>Counts data that was not passed through the decoder, at most <see cref="DataLeft"/> bytes.</summary>
    public void SkipData(int count)
    {
        _left -= count;
        _state = _left == 0 ? State.DataEnd : State.Data;
    }

    /// <summary>Decodes the next piece.</summary>
    /// <param name="bytes">The bytes that were received and not yet decoded.</param>
    /// <param name="data">Data of a chunk, at most as much as was received.</param>
    /// <param name="trailers">Receives trailer fields.</param>
    /// <returns>The number of bytes decoded, including <paramref name="data"/>; 0 where more are needed.</returns>
    /// <exception cref="MalformedResponseException">The coding is malformed.</exception>
    public int Decode(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> data, HeaderLines trailers)
    {
        data = default;
        switch (_state)
        {
            case State.Size:
                return DecodeSize(bytes, trailers);
            case State.Data:
                data = bytes[..(int)Math.Min(bytes.Length, _left)];
                SkipData(data.Length);
                return data.Length;
            case State.DataEnd:
                if (!bytes.StartsWith("\r\n"u8[..Math.Min(2, bytes.Length)]))
                {
                    throw new MalformedResponseException("a chunk is longer than it says");
                }
                if (bytes.Length < 2)
                {
                    return 0;
                }
                _state = State.Size;
                return 2;
            case State.Trailers:
                return DecodeTrailer(bytes, trailers);
            default:
                return 0;
        }
    }

    private int DecodeSize(ReadOnlySpan<byte> bytes, HeaderLines trailers)
    {
        var length = LineLength(bytes);
        if (length == 0)
        {
            return 0;
        }
        var line = bytes[..(length - 2)];
        var digits = line.IndexOfAnyExcept(HexDigits);
        digits = digits < 0 ? line.Length : digits;
        var extension = line[digits..].TrimStart(" \t"u8);
        // Fifteen digits are less than 2^63.
        if (digits is 0 or > 15 || !extension.IsEmpty && extension[0] != ';')
        {
            throw new MalformedResponseException("an invalid chunk size");
        }
        _left = long.Parse(line[..digits], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        _state = _left > 0 ? State.Data : State.Trailers;
        trailers.Clear();
        return length;
    }

    private int DecodeTrailer(ReadOnlySpan<byte> bytes, HeaderLines trailers)
    {
        var length = LineLength(bytes);
        _trailerBytes += length;
        if (_trailerBytes > MaxTrailers)
        {
            throw new MalformedResponseException($"its trailers are larger than {MaxTrailers} bytes");
        }
        if (length == 2)
        {
            _state = State.Done;
        }
        else if (length > 2)
        {
            ResponseHead.ParseField(bytes[..(length - 2)], out var name, out var value);
            trailers.AddTrailer(name, value);
        }
        return length;
    }

    // Including its CRLF; 0 where the line is not complete.
    private static int LineLength(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)'\n');
        if (end > MaxLine || end < 0 && bytes.Length > MaxLine)
        {
            throw new MalformedResponseException("a line of the chunked coding is too long");
        }
        if (end < 0)
        {
            return 0;
        }
        return end > 0 && bytes[end - 1] == '\r'
            ? end + 1
            : throw new MalformedResponseException("a line of the chunked coding does not end in CRLF");
    }
}
