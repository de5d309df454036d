using System.IO.Compression;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>A node that compresses, in front of a backend whose answer a test says.</summary>
internal sealed class CompressingNode : IAsyncDisposable
{
    /// <summary>A text that compresses well, and is longer than the smallest size.</summary>
    public static readonly string Text = string.Concat(Enumerable.Range(0, 400).Select(i => $"{{\"number\":{i},\"name\":\"n{i % 7}\"}},"));

    private readonly IAsyncDisposable _backend;

    private CompressingNode(ConfiguredNode node, IAsyncDisposable backend) => (Node, _backend) = (node, backend);

    public ConfiguredNode Node { get; }

    /// <summary>Starts a node.</summary>
    /// <param name="backend">The backend, which is disposed of with the node.</param>
    /// <param name="address">The backend's address.</param>
    /// <param name="compression">The listener's <c>Compression</c>.</param>
    /// <param name="listener">Further settings of the listener, each with a comma behind it.</param>
    /// <param name="pool">Further settings of the pool, each with a comma behind it.</param>
    public static async Task<CompressingNode> StartAsync(
        IAsyncDisposable backend, string address, string compression = "{}", string listener = "", string pool = "") =>
        new(await ConfiguredNode.StartAsync(
            $$"""{ "web": { {{pool}} "Backends": { "b": { "Address": "{{address}}" } } } }""",
            $"\"Compression\": {compression}, {listener}"), backend);

    /// <summary>Starts a node in front of a backend that always answers with these bytes.</summary>
    public static Task<CompressingNode> AnsweringAsync(string response, string compression = "{}", string listener = "")
    {
        var backend = RawServer.Answering(response);
        return StartAsync(backend, backend.Address, compression, listener);
    }

    /// <summary>Starts a node in front of a backend that runs this code for each request.</summary>
    public static Task<CompressingNode> ServingAsync(Func<RawPeer, Task> serve, string pool = "")
    {
        var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await serve(peer);
            }
        });
        return StartAsync(backend, backend.Address, pool: pool);
    }

    /// <summary>A response with a JSON body of known length.</summary>
    public static string Json(string body, string fields = "", string status = "200 OK", string type = "application/json") =>
        $"HTTP/1.1 {status}\r\nContent-Type: {type}\r\n{fields}Content-Length: {body.Length}\r\n\r\n{body}";

    /// <summary>Sends a request that accepts gzip, and returns the whole answer.</summary>
    public Task<string> GetAsync(
        string fields = "Accept-Encoding: gzip\r\n", string method = "GET", string target = "/", string version = "1.1") =>
        RawPeer.ExchangeAsync(Node.Port, $"{method} {target} HTTP/{version}\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");

    /// <summary>The head of an answer, with the line end before each field.</summary>
    public static string HeadOf(string answer) => answer[..(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 2)];

    /// <summary>The body of an answer, without its framing and coding; what is there of it where its end is missing.</summary>
    public static string BodyOf(string answer)
    {
        var (head, rest) = (HeadOf(answer), answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
        var body = head.Contains("\r\nTransfer-Encoding: chunked\r\n", StringComparison.Ordinal) ? WithoutChunks(rest) : rest;
        bool IsCoded(string coding) => head.Contains($"\r\nContent-Encoding: {coding}\r\n", StringComparison.Ordinal);
        return IsCoded("gzip") ? Decode(body, data => new GZipStream(data, CompressionMode.Decompress))
            : IsCoded("br") ? Decode(body, data => new BrotliStream(data, CompressionMode.Decompress))
            : body;
    }

    public async ValueTask DisposeAsync()
    {
        await Node.DisposeAsync();
        await _backend.DisposeAsync();
    }

    private static string WithoutChunks(string rest)
    {
        var body = new StringBuilder();
        while (rest.IndexOf("\r\n", StringComparison.Ordinal) is > 0 and var end)
        {
            var size = Convert.ToInt32(rest[..end], 16);
            if (size == 0)
            {
                break;
            }
            var data = rest[(end + 2)..];
            body.Append(data.AsSpan(0, Math.Min(size, data.Length)));
            rest = data.Length > size + 2 ? data[(size + 2)..] : "";
        }
        return body.ToString();
    }

    private static string Decode(string body, Func<Stream, Stream> decoder)
    {
        using var stream = decoder(new MemoryStream(Encoding.Latin1.GetBytes(body)));
        using var text = new MemoryStream();
        var buffer = new byte[1024];
        while (stream.Read(buffer) is > 0 and var count)
        {
            text.Write(buffer, 0, count);
        }
        return Encoding.Latin1.GetString(text.ToArray());
    }
}
