using System.Buffers.Binary;

namespace LoadBalancer.Tests.Support;

/// <summary>One end of an HTTP/2 connection, frame by frame (RFC 9113), so that it can say what no library would.</summary>
internal class Http2Wire(RawPeer peer) : IDisposable
{
    public const byte Data = 0, Headers = 1, Priority = 2, RstStream = 3, Settings = 4, PushPromise = 5, Ping = 6, GoAway = 7,
        WindowUpdate = 8, Continuation = 9;

    public const byte EndStream = 1, Ack = 1, EndHeaders = 4, Padded = 8, HasPriority = 0x20;

    /// <summary>What a client sends before its first frame.</summary>
    public const string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// <summary>The connection beneath.</summary>
    public RawPeer Peer => peer;

    /// <summary>The bytes of a frame.</summary>
    public static string Frame(byte type, byte flags, int stream, string payload = "") =>
        Number(payload.Length)[1..] + (char)type + (char)flags + Number((uint)stream) + payload;

    /// <summary>A number in four bytes.</summary>
    public static string Number(long value) =>
        $"{(char)(value >> 24 & 255)}{(char)(value >> 16 & 255)}{(char)(value >> 8 & 255)}{(char)(value & 255)}";

    /// <summary>The payload of SETTINGS.</summary>
    public static string SettingsOf(params (int Id, long Value)[] settings) =>
        string.Concat(settings.Select(setting => $"\0{(char)setting.Id}{Number(setting.Value)}"));

    /// <summary>A field section of literals that are neither compressed nor remembered (RFC 7541 section 6.2.2).</summary>
    public static string Encode(params (string Name, string Value)[] fields) =>
        string.Concat(fields.Select(field => "\0" + HpackText.String(field.Name) + HpackText.String(field.Value)));

    /// <summary>Sends a frame.</summary>
    public Task SendFrameAsync(byte type, byte flags, int stream, string payload) =>
        peer.SendAsync(Frame(type, flags, stream, payload));

    /// <summary>Sends bytes as they stand.</summary>
    public Task SendTextAsync(string text) => peer.SendAsync(text);

    /// <summary>Reads the next frame; null where the connection ends first.</summary>
    public async Task<Http2Frame?> NextFrameAsync()
    {
        var head = await peer.ReadAsync(9);
        if (head.Length < 9)
        {
            return null;
        }
        var bytes = head.Select(c => (byte)c).ToArray();
        var payload = await peer.ReadAsync(bytes[0] << 16 | bytes[1] << 8 | bytes[2]);
        return new Http2Frame(bytes[3], bytes[4], BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(5)), payload);
    }

    public void Dispose() => peer.Dispose();
}
