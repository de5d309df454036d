using System.Buffers.Binary;
using System.Globalization;
using System.Net.Security;
using System.Text;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Support;

/// <summary>A client that speaks HTTP/2 frame by frame (RFC 9113), so that it can say what no library would.</summary>
internal sealed class Http2Peer : IDisposable
{
    private const int LargestFrame = 16 * 1024;
    private static readonly string[] Errors =
    [
        "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
        "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
    ];

    // Of the static table, RFC 7541 appendix A, from index 8 on.
    private static readonly string[] IndexedStatus = ["200", "204", "206", "304", "400", "404", "500"];

    private readonly RawPeer _peer;
    private readonly Stream _stream;

    private Http2Peer(RawPeer peer, Stream stream) => (_peer, _stream) = (peer, stream);

    /// <summary>Connects to a listener that expects HTTP/2 without TLS.</summary>
    public static async Task<Http2Peer> ConnectAsync(int port)
    {
        var raw = await RawPeer.ConnectAsync(port);
        return await BeginAsync(new Http2Peer(raw, raw.Stream));
    }

    /// <summary>Connects with TLS, and negotiates HTTP/2; any certificate will do.</summary>
    public static async Task<Http2Peer> ConnectWithTlsAsync(int port, Func<Stream, Stream>? beneath = null)
    {
        var raw = await RawPeer.ConnectAsync(port);
        var tls = new SslStream(beneath?.Invoke(raw.Stream) ?? raw.Stream, leaveInnerStreamOpen: false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions { TargetHost = "it.test", ApplicationProtocols = [SslApplicationProtocol.Http2] });
        return await BeginAsync(new Http2Peer(raw, tls));
    }

    /// <summary>Sends a request without a body: its fields as they stand, pseudo-fields too.</summary>
    public Task SendRequestAsync(int stream, params (string Name, string Value)[] fields) => SendHeadAsync(EndStream, stream, fields);

    /// <summary>Sends the head of a request, in as many frames as it needs.</summary>
    public async Task SendHeadAsync(byte flags, int stream, params (string Name, string Value)[] fields)
    {
        var parts = Encode(fields).Chunk(LargestFrame).Select(part => new string(part)).ToList();
        foreach (var (i, part) in parts.Index())
        {
            var end = i == parts.Count - 1 ? EndHeaders : (byte)0;
            await SendFrameAsync(i == 0 ? Headers : Continuation, (byte)(end | (i == 0 ? flags : 0)), stream, part);
        }
    }

    /// <summary>Sends a frame.</summary>
    public Task SendFrameAsync(byte type, byte flags, int stream, string payload) => SendTextAsync(Frame(type, flags, stream, payload));

    /// <summary>Reads the next frame; null where the connection ends first.</summary>
    public async Task<Http2Frame?> NextFrameAsync()
    {
        if (await ReadAsync(9) is not { Length: 9 } head)
        {
            return null;
        }
        var payload = await ReadAsync(head[0] << 16 | head[1] << 8 | head[2]);
        return new Http2Frame(head[3], head[4], BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(5)), Encoding.Latin1.GetString(payload));
    }

    /// <summary>Sends frames in one piece.</summary>
    public Task SendTogetherAsync(params string[] frames) => SendTextAsync(string.Concat(frames));

    /// <summary>The frame of a request without a body.</summary>
    public static string RequestFrame(int stream, params (string Name, string Value)[] fields) =>
        Frame(Headers, EndStream | EndHeaders, stream, Encode(fields));

    /// <summary>What one call receives.</summary>
    public async Task<string> ReadSomeAsync()
    {
        var bytes = new byte[LargestFrame];
        return Encoding.Latin1.GetString(bytes, 0, await _stream.ReadAsync(bytes));
    }

    /// <summary>Reads frames until one of these types comes, and returns it; null where the connection ends first.</summary>
    public async Task<(int Stream, string Payload)?> ReadFrameAsync(params byte[] types) =>
        await ReadTypedFrameAsync(types) is { } frame ? (frame.Stream, frame.Payload) : null;

    /// <summary>
    /// Reads what becomes of a stream: the status of its response; <c>reset CODE</c> where it is reset; <c>end CODE</c> where the whole
    /// connection is ended with an error, <c>end</c> where it ends without one.
    /// </summary>
    public async Task<string> ReadFateAsync(int stream)
    {
        while (await ReadTypedFrameAsync(Headers, RstStream, GoAway) is { } frame)
        {
            if (frame.Type == GoAway && ErrorAt(frame.Payload, 4) is not "NO_ERROR" and var error)
            {
                return $"end {error}";
            }
            if (frame.Stream == stream && frame.Type != GoAway)
            {
                return frame.Type == RstStream ? $"reset {ErrorAt(frame.Payload, 0)}" : StatusOf(frame.Payload);
            }
        }
        return "end";
    }

    public void Dispose()
    {
        _stream.Dispose();
        _peer.Dispose();
    }

    private static async Task<Http2Peer> BeginAsync(Http2Peer peer)
    {
        await peer.SendTextAsync(Preface);
        await peer.SendFrameAsync(Settings, 0, 0, "");
        return peer;
    }

    private async Task<Http2Frame?> ReadTypedFrameAsync(params byte[] types)
    {
        Http2Frame? frame;
        do
        {
            frame = await NextFrameAsync();
        }
        while (frame is not null && !types.Contains(frame.Type));
        return frame;
    }

    // Fewer bytes where the connection ends.
    private async Task<byte[]> ReadAsync(int count)
    {
        var bytes = new byte[count];
        try
        {
            return bytes[..await _stream.ReadAtLeastAsync(bytes, count, throwOnEndOfStream: false)];
        }
        catch (IOException)
        {
            return [];
        }
    }

    private async Task SendTextAsync(string text) => await _stream.WriteAsync(Encoding.Latin1.GetBytes(text));

    private static string ErrorAt(string payload, int offset) =>
        Errors[BinaryPrimitives.ReadInt32BigEndian(Encoding.Latin1.GetBytes(payload[offset..(offset + 4)]))];

    // The first field of a response is its status: indexed, or three digits behind an indexed name and their length.
    private static string StatusOf(string block) =>
        block[0] >= 0x88 ? IndexedStatus[block[0] - 0x88] : string.Create(CultureInfo.InvariantCulture, $"{block.AsSpan(2, 3)}");
}
