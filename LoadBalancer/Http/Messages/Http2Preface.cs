namespace LoadBalancer.Http.Messages;

/// <summary>The connection preface of HTTP/2 (RFC 9113 section 3.4).</summary>
internal static class Http2Preface
{
    /// <summary>What a client sends before its first frame. No request of HTTP/1.1 begins like this.</summary>
    public static ReadOnlySpan<byte> Bytes => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;
}
