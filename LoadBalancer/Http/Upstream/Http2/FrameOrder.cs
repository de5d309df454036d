using System.Buffers;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// What must hold for the frames that a backend sends, and for their order (RFC 9113 sections 4 to 6), and the sections of fields that come
/// in several of them.
/// </summary>
internal sealed class FrameOrder
{
    private const int MaxFrameSize = 16 * 1024; // the default of SETTINGS_MAX_FRAME_SIZE

    // A field section need not come in more frames than this; without a limit empty ones could follow each other for ever.
    private const int MaxContinuations = 64;

    private readonly ArrayBufferWriter<byte> _block = new(); // of a field section that comes in several frames
    private FrameHeader? _blockStart;
    private int _continuations;

    /// <summary>Whether the backend's SETTINGS have come, which are always its first frame.</summary>
    public bool HasSettings { get; set; }

    /// <summary>Checks a frame before its payload is there.</summary>
    /// <exception cref="Http2ConnectionException">It violates the protocol.</exception>
    public void Check(FrameHeader header)
    {
        if (!HasSettings && (header.Type != FrameType.Settings || header.Has(FrameFlags.Ack)))
        {
            throw Violation("it does not begin with SETTINGS, so it does not speak HTTP/2");
        }
        if (header.Length > MaxFrameSize)
        {
            throw new Http2ConnectionException(Http2Error.FrameSizeError, "a frame that is too large");
        }
        if (_blockStart is { } start && (header.Type != FrameType.Continuation || header.Stream != start.Stream))
        {
            throw Violation("a frame in the middle of a field section");
        }
        var isOfStream = header.Type is FrameType.Data or FrameType.Headers or FrameType.Priority or FrameType.RstStream
            or FrameType.Continuation;
        var isOfConnection = header.Type is FrameType.Settings or FrameType.Ping or FrameType.GoAway;
        if (isOfStream && header.Stream == 0 || isOfConnection && header.Stream != 0)
        {
            throw Violation("a frame with a wrong stream");
        }
        var isSizeWrong = header.Type switch
        {
            FrameType.Priority => header.Length != 5,
            FrameType.RstStream or FrameType.WindowUpdate => header.Length != 4,
            FrameType.Settings => header.Length % 6 != 0 || header.Has(FrameFlags.Ack) && header.Length > 0,
            FrameType.Ping => header.Length != 8,
            FrameType.GoAway => header.Length < 8,
            _ => false,
        };
        if (isSizeWrong)
        {
            throw new Http2ConnectionException(Http2Error.FrameSizeError, $"a {header.Type} frame of the wrong size");
        }
    }

    /// <summary>Takes a frame of a field section.</summary>
    /// <param name="header">The frame: HEADERS or CONTINUATION.</param>
    /// <param name="payload">Its payload.</param>
    /// <param name="start">The frame with which the section began.</param>
    /// <param name="block">All of the section; valid until the next frame.</param>
    /// <returns>Whether the section is complete.</returns>
    /// <exception cref="Http2ConnectionException">It violates the protocol, or is too large.</exception>
    public bool TryEndFields(FrameHeader header, ReadOnlySpan<byte> payload, out FrameHeader start, out ReadOnlySpan<byte> block)
    {
        if (header.Type == FrameType.Headers)
        {
            start = header;
            block = Unpad(header, payload);
            if (header.Has(FrameFlags.Priority))
            {
                block = block.Length >= 5 ? block[5..] : throw Violation("a HEADERS frame that is too short");
            }
            if (!header.Has(FrameFlags.EndHeaders))
            {
                (_blockStart, _continuations) = (header, 0);
                _block.ResetWrittenCount();
                _block.Write(block);
            }
            return header.Has(FrameFlags.EndHeaders);
        }
        start = _blockStart ?? throw Violation("a CONTINUATION without a beginning");
        if (++_continuations > MaxContinuations || _block.WrittenCount + payload.Length > FieldSection.MaxSize)
        {
            throw new Http2ConnectionException(Http2Error.EnhanceYourCalm, $"its head is larger than {FieldSection.MaxSize} bytes");
        }
        _block.Write(payload);
        block = _block.WrittenSpan;
        if (header.Has(FrameFlags.EndHeaders))
        {
            _blockStart = null;
        }
        return header.Has(FrameFlags.EndHeaders);
    }

    /// <summary>The payload of a DATA or HEADERS frame without its padding.</summary>
    /// <exception cref="Http2ConnectionException">The padding is not valid.</exception>
    public static ReadOnlySpan<byte> Unpad(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (!header.Has(FrameFlags.Padded))
        {
            return payload;
        }
        return payload.Length > 0 && payload[0] < payload.Length
            ? payload[1..^payload[0]]
            : throw Violation("padding that is longer than its frame");
    }

    /// <summary>What to throw where a frame violates the protocol.</summary>
    public static Http2ConnectionException Violation(string what) => new(Http2Error.ProtocolError, what);
}
