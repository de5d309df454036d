namespace LoadBalancer.Tests.Support;

/// <summary>A frame of HTTP/2, each byte of its payload as one character.</summary>
internal sealed record Http2Frame(byte Type, byte Flags, int Stream, string Payload)
{
    /// <summary>Whether it ends its stream; for DATA and HEADERS only.</summary>
    public bool IsEnd => (Flags & Http2Wire.EndStream) != 0;

    /// <summary>The number in four bytes of the payload.</summary>
    public long NumberAt(int offset) =>
        (long)Payload[offset] << 24 | (long)Payload[offset + 1] << 16 | (long)Payload[offset + 2] << 8 | Payload[offset + 3];
}
