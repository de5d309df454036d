using System.Text;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A message of one or more frames, in its encoded form, so that it can be passed on without being parsed. A received message is
/// valid only until the handler returns; <see cref="Copy"/> keeps it.
/// </summary>
public readonly struct ZmtpMessage
{
    internal ZmtpMessage(ReadOnlyMemory<byte> wire, int count) => (Wire, Count) = (wire, count);

    /// <summary>How many frames it has; 0 only for the default value.</summary>
    public int Count { get; }

    /// <summary>The encoded frames: heads and bodies.</summary>
    internal ReadOnlyMemory<byte> Wire { get; }

    /// <summary>The body of a frame, counted from 0.</summary>
    public ReadOnlyMemory<byte> this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
            var start = StartOf(index);
            var frame = FrameAt(start);
            return Wire.Slice(start + frame.HeadLength, (int)frame.BodyLength);
        }
    }

    /// <summary>Makes a message of texts, in UTF-8.</summary>
    public static ZmtpMessage Of(params ReadOnlySpan<string> frames)
    {
        var bytes = new ReadOnlyMemory<byte>[frames.Length];
        for (var i = 0; i < frames.Length; i++)
        {
            bytes[i] = Encoding.UTF8.GetBytes(frames[i]);
        }
        return Of(bytes);
    }

    /// <summary>Makes a message of frames.</summary>
    /// <exception cref="ArgumentException">There are none.</exception>
    public static ZmtpMessage Of(params ReadOnlySpan<ReadOnlyMemory<byte>> frames)
    {
        if (frames.IsEmpty)
        {
            throw new ArgumentException("a message has at least one frame", nameof(frames));
        }
        var length = 0;
        foreach (var frame in frames)
        {
            length += Frame.LengthOf(frame.Length);
        }
        var wire = new byte[length];
        var written = 0;
        for (var i = 0; i < frames.Length; i++)
        {
            written += Frame.Write(frames[i].Span, i < frames.Length - 1 ? Frame.More : (byte)0, wire.AsSpan(written));
        }
        return new ZmtpMessage(wire, frames.Length);
    }

    /// <summary>A frame as text; invalid UTF-8 becomes U+FFFD.</summary>
    public string Text(int index) => Encoding.UTF8.GetString(this[index].Span);

    /// <summary>A copy that stays valid.</summary>
    public ZmtpMessage Copy() => new(Wire.ToArray(), Count);

    /// <summary>The message without its first frames; at least one must be left.</summary>
    public ZmtpMessage Skip(int frames)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)frames, (uint)Count);
        return new(Wire[StartOf(frames)..], Count - frames);
    }

    /// <summary>
    /// Separates the envelope (the frames up to and including the first empty one) from the body. A REQ sends and expects an empty frame
    /// alone; a proxy may have put others before it, and needs them back with the answer (RFC 28).
    /// </summary>
    /// <returns>False where no frame but the last is empty.</returns>
    public bool TryOpen(out ZmtpEnvelope envelope, out ZmtpMessage body)
    {
        var start = 0;
        for (var i = 0; i < Count - 1; i++)
        {
            var frame = FrameAt(start);
            start += frame.HeadLength + (int)frame.BodyLength;
            if (frame.BodyLength == 0)
            {
                (envelope, body) = (new ZmtpEnvelope(Wire[..start]), new ZmtpMessage(Wire[start..], Count - i - 1));
                return true;
            }
        }
        (envelope, body) = (default, default);
        return false;
    }

    /// <summary>The frames as text, for logs and tests.</summary>
    public override string ToString() => string.Join('|', Enumerable.Range(0, Count).Select(Text));

    // Cannot fail: the frames were parsed before, or written by us.
    private Frame FrameAt(int start) =>
        Frame.TryRead(Wire.Span[start..], out var frame) ? frame : throw new InvalidOperationException("not a message");

    private int StartOf(int index)
    {
        var start = 0;
        for (var i = 0; i < index; i++)
        {
            var frame = FrameAt(start);
            start += frame.HeadLength + (int)frame.BodyLength;
        }
        return start;
    }
}

/// <summary>The frames before a message's body, including the empty one at the end; valid as long as its message.</summary>
public readonly struct ZmtpEnvelope
{
    internal ZmtpEnvelope(ReadOnlyMemory<byte> wire) => Wire = wire;

    /// <summary>The envelope of a REQ: one empty frame.</summary>
    public static ZmtpEnvelope Empty { get; } = new(new byte[] { Frame.More, 0 });

    internal ReadOnlyMemory<byte> Wire { get; }

    /// <summary>A copy that stays valid.</summary>
    public ZmtpEnvelope Copy() => new(Wire.ToArray());
}
