using System.Net;
using System.Net.Sockets;
using BenchmarkDotNet.Attributes;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Bench;

/// <summary>
/// One request through a whole node in this process, over real sockets, one after the other. Client and backend allocate nothing, so
/// what is allocated is what forwarding a request costs. The time is that of a round trip through four sockets and says little.
/// </summary>
[InProcess]
[WarmupCount(3)]
[IterationCount(10)]
[MemoryDiagnoser]
public class ForwardBenchmark
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly byte[] _received = new byte[64 * 1024];
    private byte[] _request = [];
    private byte[] _response = [];
    private Socket _client = null!;
    private Node _node = null!;

    [Params("GET", "POST of 1 kB", "GET of chunks")]
    public string Kind { get; set; } = "";

    [GlobalSetup]
    public async Task SetUpAsync()
    {
        const string Head = " / HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n";
        _request = Kind == "POST of 1 kB"
            ? Text($"POST{Head}Content-Length: 1024\r\n\r\n{new string('x', 1024)}")
            : Text($"GET{Head}\r\n");
        const string Fields = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\n";
        _response = Kind == "GET of chunks"
            ? Text($"{Fields}Transfer-Encoding: chunked\r\n\r\n68\r\n{new string('x', 104)}\r\n0\r\n\r\n")
            : Text($"{Fields}Content-Length: 104\r\n\r\n{new string('x', 104)}");

        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        new Thread(Serve) { IsBackground = true }.Start();

        _node = Node.Build(
            new LoadBalancerOptions
            {
                Listeners = new Dictionary<string, ListenerOptions>
                {
                    ["web"] = new HttpListenerOptions { Address = new("http", "127.0.0.1", 0), Pool = "web" },
                },
                Pools = new Dictionary<string, PoolOptions>
                {
                    ["web"] = new()
                    {
                        Backends = new Dictionary<string, BackendOptions>
                        {
                            ["backend"] = new() { Address = Address((IPEndPoint)_listener.LocalEndPoint!) },
                        },
                    },
                },
            },
            TimeProvider.System);
        await _node.StartAsync();
        _client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        var address = _node.Listeners[0].Address;
        await _client.ConnectAsync(IPAddress.Loopback, new Uri(address).Port);
    }

    [Benchmark]
    public void Forward()
    {
        _client.Send(_request);
        for (var last = 0; last != (Kind == "GET of chunks" ? '\n' : 'x');)
        {
            last = _received[_client.Receive(_received) - 1];
        }
    }

    [GlobalCleanup]
    public void CleanUp()
    {
        _client.Dispose();
        _listener.Dispose();
        _node.Dispose();
    }

    private static EndpointAddress Address(IPEndPoint endPoint) => new("http", endPoint.Address.ToString(), endPoint.Port);

    private static byte[] Text(string text) => System.Text.Encoding.Latin1.GetBytes(text);

    // The client sends the next request only when it has the answer, so that nothing follows the end of a request.
    private void Serve()
    {
        using var backend = _listener.Accept();
        var buffer = new byte[64 * 1024];
        var missing = 0;
        while (backend.Receive(buffer, SocketFlags.None, out _) is > 0 and var count) // the end may be a reset
        {
            var end = buffer.AsSpan(0, count).IndexOf("\r\n\r\n"u8);
            missing = missing > 0 ? missing - count : Kind == "POST of 1 kB" ? 1024 - (count - end - 4) : 0;
            if (missing == 0)
            {
                backend.Send(_response);
            }
        }
    }
}
