using System.Buffers.Binary;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>The nine bytes with which every frame begins (RFC 9113 section 4.1).</summary>
/// <param name="Length">The length of the payload that follows, in bytes.</param>
/// <param name="Type">The type; unknown types must be ignored.</param>
/// <param name="Flags">The flags.</param>
/// <param name="Stream">The stream; 0 for the connection as a whole.</param>
internal readonly record struct FrameHeader(int Length, FrameType Type, FrameFlags Flags, int Stream)
{
    /// <summary>The size of a frame's header, in bytes.</summary>
    public const int Size = 9;

    /// <summary>Reads the header at the start of the bytes, of which there are at least <see cref="Size"/>.</summary>
    public static FrameHeader Read(ReadOnlySpan<byte> bytes) => new(
        bytes[0] << 16 | bytes[1] << 8 | bytes[2],
        (FrameType)bytes[3],
        (FrameFlags)bytes[4],
        BinaryPrimitives.ReadInt32BigEndian(bytes[5..]) & int.MaxValue);

    /// <summary>Whether the frame has a flag.</summary>
    public bool Has(FrameFlags flag) => (Flags & flag) != 0;

    /// <summary>Writes it to the start of the bytes.</summary>
    public void Write(Span<byte> to)
    {
        (to[0], to[1], to[2]) = ((byte)(Length >> 16), (byte)(Length >> 8), (byte)Length);
        (to[3], to[4]) = ((byte)Type, (byte)Flags);
        BinaryPrimitives.WriteInt32BigEndian(to[5..], Stream);
    }
}
