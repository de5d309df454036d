using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A client that asks a <see cref="ChaosServer"/> through the load balancer, checks every byte of what it gets, and knows what it must
/// get: the whole answer, an error, or a response that is visibly broken.
/// </summary>
internal sealed class ChaosClient(int port, int seed) : IDisposable
{
    private static int _lastId;

    private readonly Random _random = new(seed);
    private Socket? _socket;
    private WireReader? _reader;

    /// <summary>How often each behaviour had which result.</summary>
    public static ConcurrentDictionary<string, int> Results { get; } = [];

    /// <summary>Asks for one of the behaviours.</summary>
    /// <returns>What is wrong with the result, or null.</returns>
    public async Task<string?> AskAsync(params string[] behaviours)
    {
        var behaviour = behaviours[_random.Next(behaviours.Length)];
        var method = _random.Next(8) switch { 0 => "HEAD", 1 or 2 => "POST", _ => "GET" };
        var (id, length) = (Interlocked.Increment(ref _lastId), behaviour is "drip" or "surplus"
            ? _random.Next(100) : (int)Math.Pow(10, _random.NextDouble() * 5));
        string result;
        string? wrong;
        try
        {
            var answer = await ExchangeAsync(method, behaviour, id, length);
            (result, wrong) = (answer.Status.ToString(CultureInfo.InvariantCulture), Judge(answer, method, behaviour, id, length));
            if (answer["Connection"] == "close")
            {
                Disconnect();
            }
        }
        catch (MalformedWireException e)
        {
            Disconnect();
            (result, wrong) = ("malformed", "malformed: " + e.Message);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            Disconnect();
            // A HEAD has nothing that could break off, and what has no head cannot break off either.
            (result, wrong) = ("broken", ChaosServer.Broken.Contains(behaviour) ? null : "broken: " + e.Message);
        }
        Results.AddOrUpdate($"{behaviour} {method} {result}", 1, (_, count) => count + 1);
        return wrong is null ? null : $"{method} /{behaviour}/{id}/{length}: {wrong}";
    }

    public void Dispose() => Disconnect();

    private async Task<WireMessage> ExchangeAsync(string method, string behaviour, int id, int length)
    {
        if (_socket is null)
        {
            _socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await _socket.ConnectAsync("127.0.0.1", port);
            _reader = new WireReader(new NetworkStream(_socket));
        }
        var head = new StringBuilder($"{method} /{behaviour}/{id}/{length} HTTP/1.1\r\nHost: a\r\n");
        var chunked = _random.Next(2) == 0;
        if (method == "POST")
        {
            head.Append("X-Whole: 1\r\n").Append(chunked ? "Transfer-Encoding: chunked\r\n" : $"Content-Length: {length}\r\n");
        }
        head.Append("\r\n");
        if (method != "POST")
        {
            await _socket.SendAsync(Encoding.ASCII.GetBytes(head.ToString()));
            return await _reader!.ReadResponseAsync(method);
        }
        // The answer may come before the end of the request, which then need not be sent any further.
        var sending = SendAsync(_socket, head.ToString(), ChaosServer.BodyOf(id, length), chunked);
        try
        {
            return await _reader!.ReadResponseAsync(method);
        }
        finally
        {
            if (!sending.IsCompleted)
            {
                Disconnect();
            }
            await sending;
        }
    }

    private async Task SendAsync(Socket socket, string head, byte[] body, bool chunked)
    {
        try
        {
            var message = new MemoryStream();
            message.Write(Encoding.ASCII.GetBytes(head));
            for (var i = 0; chunked && i < body.Length;)
            {
                var step = Math.Min(_random.Next(1, 20_000), body.Length - i);
                message.Write(Encoding.ASCII.GetBytes($"{step:x}\r\n"));
                message.Write(body.AsSpan(i, step));
                message.Write("\r\n"u8);
                i += step;
            }
            message.Write(chunked ? "0\r\n\r\n"u8 : body);
            for (ReadOnlyMemory<byte> rest = message.ToArray(); !rest.IsEmpty;)
            {
                rest = rest[await socket.SendAsync(rest)..];
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The answer says why, if there is one.
        }
    }

    private static string? Judge(WireMessage answer, string method, string behaviour, int id, int length)
    {
        var isGood = ChaosServer.Good.Contains(behaviour);
        if (answer.Status == 200)
        {
            return answer["X-Id"] != id.ToString(CultureInfo.InvariantCulture) ? "somebody else's answer: " + answer
                : method == "HEAD" ? null
                : !isGood ? "a broken answer looks whole"
                : answer.Body.AsSpan().SequenceEqual(ChaosServer.BodyOf(id, length)) ? null
                : $"another body, of {answer.Body.Length} bytes";
        }
        var isExpected = ChaosServer.Headless.Contains(behaviour) && answer.Status == (behaviour == "stall" ? 504 : 502);
        // A POST must not be sent twice, so it may meet a connection that its backend closes at that moment.
        return answer["Proxy-Status"] is not null && (isExpected || method == "POST" && answer.Status == 502)
            ? null : "unexpected: " + answer;
    }

    private void Disconnect()
    {
        _socket?.Dispose();
        _socket = null;
    }
}
