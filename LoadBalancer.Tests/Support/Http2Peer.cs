namespace LoadBalancer.Tests.Support;

/// <summary>A client that speaks HTTP/2 frame by frame.</summary>
internal sealed class Http2Peer(RawPeer peer) : Http2Wire(peer)
{
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

    /// <summary>Reads frames until one of these types comes, and returns it; null where the connection ends first.</summary>
    public async Task<(int Stream, string Payload)?> ReadFrameAsync(params byte[] types)
    {
        while (await NextFrameAsync() is { } frame)
        {
            if (types.Contains(frame.Type))
            {
                return (frame.Stream, frame.Payload);
            }
        }
        return null;
    }
}
