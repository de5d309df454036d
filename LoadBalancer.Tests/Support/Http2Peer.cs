using System.Buffers.Binary;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>A client that speaks HTTP/2 frame by frame (RFC 9113), so that it can say what no library would.</summary>
internal sealed class Http2Peer(RawPeer peer) : IDisposable
{
    public const byte Data = 0, Headers = 1, RstStream = 3, Settings = 4, GoAway = 7, Continuation = 9;

    private const string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    private const byte EndStream = 1, EndHeaders = 4;

    /// <summary>Connects to a listener that expects HTTP/2 without TLS.</summary>
    public static async Task<Http2Peer> ConnectAsync(int port)
    {
        var peer = new Http2Peer(await RawPeer.ConnectAsync(port));
        await peer.SendTextAsync(Preface);
        await peer.SendFrameAsync(Settings, 0, 0, "");
        return peer;
    }

    /// <summary>Sends a request without a body: its fields as they stand, pseudo-fields too.</summary>
    public Task SendRequestAsync(int stream, params (string Name, string Value)[] fields) =>
        SendFrameAsync(Headers, EndStream | EndHeaders, stream, Encode(fields));

    /// <summary>Sends a frame.</summary>
    public Task SendFrameAsync(byte type, byte flags, int stream, string payload)
    {
        var length = payload.Length;
        var head = $"{(char)(length >> 16)}{(char)(length >> 8 & 255)}{(char)(length & 255)}{(char)type}{(char)flags}";
        return SendTextAsync($"{head}\0{(char)(stream >> 16 & 255)}{(char)(stream >> 8 & 255)}{(char)(stream & 255)}{payload}");
    }

    /// <summary>Reads frames until one of these types comes, and returns it; null where the connection ends first.</summary>
    public async Task<(int Stream, string Payload)?> ReadFrameAsync(params byte[] types)
    {
        while (await peer.ReadAsync(9) is { Length: 9 } head)
        {
            var bytes = Encoding.Latin1.GetBytes(head);
            var payload = await peer.ReadAsync(bytes[0] << 16 | bytes[1] << 8 | bytes[2]);
            if (types.Contains(bytes[3]))
            {
                return (BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(5)), payload);
            }
        }
        return null;
    }

    public void Dispose() => peer.Dispose();

    private Task SendTextAsync(string text) => peer.SendAsync(text);

    // RFC 7541 section 6.2.2: literals that are neither compressed nor remembered.
    private static string Encode((string Name, string Value)[] fields)
    {
        var block = new StringBuilder();
        foreach (var (name, value) in fields)
        {
            block.Append('\0').Append((char)name.Length).Append(name).Append((char)value.Length).Append(value);
        }
        return block.ToString();
    }
}
