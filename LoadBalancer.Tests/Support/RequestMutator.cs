using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>Makes requests that are wrong, or right by accident, out of right ones; the same ones for the same seed.</summary>
internal sealed class RequestMutator(int seed)
{
    private static readonly string[] Requests =
    [
        "GET /length/1/100 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a.example/length/1/100?x=%2F HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nVia: 1.1 other\r\n\r\n",
        "HEAD /length/1/100 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /length/1/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /length/1/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
        "POST /length/1/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5\r\nhello\r\n6;x=\"y\"\r\n world\r\n" +
            "0\r\nX-Sum: 1\r\n\r\n",
        "POST /length/1/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n27\r\nGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n\r\n" +
            "0\r\n\r\n",
        "PUT /length/1/5 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "GET /length/1/5 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n" +
            "\r\n",
        "GET /length/1/5 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nCookie: a=b; c=d\r\n\r\nGET /length/2/5 HTTP/1.1\r\nHost: " +
            "a\r\n\r\n",
    ];

    private static readonly string[] Pieces =
    [
        "\r\n", "\n", "\r", "\0", "\t", " ", ":", ";", ",", "/", "?", "%", "\u007f", "\u0080", "\u00ff", "0", "-1", "+", "x", "\r\n ",
            "\r\n\r\n", "\u000b", "\u000c", "HTTP/1.0", "HTTP/1.1",
        "\r\nContent-Length: 3", "\r\nContent-Length : 3", "\r\nTransfer-Encoding: chunked", "\r\nTransfer-Encoding: identity",
            "\r\nTransfer_Encoding: chunked", "\r\nTransfer-Encoding:\u000bchunked",
        "\r\nConnection: Content-Length, Host, Via", "\r\nConnection: close", "\r\nHost: b", "\r\nX-Content-Length: 3",
            "\r\nExpect: 100-continue", "\r\nUpgrade: h2c", "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
    ];

    private readonly Random _random = new(seed);

    public byte[] Next()
    {
        var request = Encoding.Latin1.GetBytes(Requests[_random.Next(Requests.Length)]).ToList();
        for (var i = _random.Next(1, 4); i > 0; i--)
        {
            var at = _random.Next(request.Count);
            var count = Math.Min(_random.Next(1, 12), request.Count - at);
            switch (_random.Next(6))
            {
                case 0:
                    request[at] = (byte)_random.Next(256);
                    break;
                case 1 when count < request.Count:
                    request.RemoveRange(at, count);
                    break;
                case 2:
                    request.InsertRange(_random.Next(request.Count), request.GetRange(at, count));
                    break;
                case 3:
                    // Where lines end, more depends on a byte than elsewhere.
                    var ends = Enumerable.Range(0, request.Count).Where(end => request[end] == '\r').DefaultIfEmpty(at).ToList();
                    request.InsertRange(ends[_random.Next(ends.Count)], Encoding.Latin1.GetBytes(Pieces[_random.Next(Pieces.Length)]));
                    break;
                case 4:
                    request[at] ^= (byte)(1 << _random.Next(8));
                    break;
                default:
                    request.InsertRange(at, Encoding.Latin1.GetBytes(Pieces[_random.Next(Pieces.Length)]));
                    break;
            }
        }
        return [.. request];
    }
}
