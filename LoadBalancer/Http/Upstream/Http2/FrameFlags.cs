namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>The flags of frames (RFC 9113 section 6). What a bit means depends on the type of the frame.</summary>
[Flags]
internal enum FrameFlags : byte
{
    None = 0,
    EndStream = 0x1,

    /// <summary>Of SETTINGS and PING.</summary>
    Ack = EndStream,
    EndHeaders = 0x4,
    Padded = 0x8,
    Priority = 0x20,
}
