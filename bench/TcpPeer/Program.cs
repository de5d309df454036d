using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Samples;

namespace LoadBalancer.Bench;

/// <summary>
/// Both ends of a TCP relay under load. <c>serve PORT</c> is the backend: on a connection whose first byte is <c>b</c> it sends bytes
/// without end, on any other it echoes. The others are clients, with arguments <c>PORT CONNECTIONS SECONDS PID...</c>: <c>bulk</c>
/// receives (and counts bytes); <c>connect</c> connects, exchanges 64 bytes and closes, again and again (connections); <c>turns</c>
/// exchanges 64 bytes again and again (exchanges). They print what they have counted, in how many seconds, and how many seconds of CPU
/// time the processes have used. <c>replace</c> connects, exchanges 64 bytes a hundred times and closes, again and again; it prints how
/// many exchanges and how many failures there were, and goes on after a failure. <c>h2</c> does the same with requests for /small over
/// TLS and HTTP/2, eight at a time on each connection: unlike h2load it understands GOAWAY, and opens another connection. <c>idle PORT
/// CONNECTIONS</c> exchanges 64 bytes once on each connection, prints a line, and ends when it reads one.
/// </summary>
internal static class Program
{
    private const int MessageSize = 64;
    private const int BulkSize = 256 * 1024;

    private const int TurnsOfAConnection = 100;

    private static long _done;
    private static long _failed;

    private static async Task Main(string[] args)
    {
        var endPoint = new IPEndPoint(IPAddress.Loopback, int.Parse(args[1], CultureInfo.InvariantCulture));
        switch (args[0])
        {
            case "serve":
                await ServeAsync(endPoint);
                break;
            case "replace":
                await CountFailuresAsync(
                    endPoint, int.Parse(args[2], CultureInfo.InvariantCulture),
                    TimeSpan.FromSeconds(double.Parse(args[3], CultureInfo.InvariantCulture)));
                break;
            case "h2":
                await CountHttp2FailuresAsync(
                    new Uri($"https://127.0.0.1:{endPoint.Port}/small"), int.Parse(args[2], CultureInfo.InvariantCulture),
                    TimeSpan.FromSeconds(double.Parse(args[3], CultureInfo.InvariantCulture)));
                break;
            case "idle":
                await IdleAsync(endPoint, int.Parse(args[2], CultureInfo.InvariantCulture));
                break;
            default:
                var duration = TimeSpan.FromSeconds(double.Parse(args[3], CultureInfo.InvariantCulture));
                await LoadAsync(args[0], endPoint, int.Parse(args[2], CultureInfo.InvariantCulture), duration, args[4..]);
                break;
        }
    }

    private static async Task ServeAsync(IPEndPoint endPoint)
    {
        using var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(endPoint);
        listener.Listen(4096);
        while (true)
        {
            var socket = await listener.AcceptAsync();
            socket.NoDelay = true;
            Background.Run(() => AnswerAsync(socket));
        }
    }

    private static async Task AnswerAsync(Socket socket)
    {
        using (socket)
        {
            try
            {
                var buffer = new byte[1024];
                var count = await socket.ReceiveAsync(buffer);
                if (count > 0 && buffer[0] == 'b')
                {
                    buffer = new byte[BulkSize];
                    while (true)
                    {
                        await socket.SendAsync(buffer);
                    }
                }
                for (; count > 0; count = await socket.ReceiveAsync(buffer))
                {
                    await socket.SendAsync(buffer.AsMemory(0, count));
                }
            }
            catch (SocketException)
            {
                // The client has closed the connection.
            }
        }
    }

    private static async Task LoadAsync(string what, IPEndPoint endPoint, int connections, TimeSpan time, string[] processes)
    {
        Func<IPEndPoint, CancellationToken, Task> work = what switch
        {
            "bulk" => ReceiveAsync,
            "connect" => ConnectAsync,
            "turns" => TakeTurnsAsync,
            _ => throw new ArgumentException($"unknown kind of load '{what}'"),
        };
        using var end = new CancellationTokenSource();
        var all = Enumerable.Range(0, connections).Select(_ => Task.Run(() => work(endPoint, end.Token))).ToList();
        await Task.WhenAny(Task.WhenAll(all), Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System)); // until all have started
        var (before, start, processorBefore) = (Interlocked.Read(ref _done), Stopwatch.GetTimestamp(), ProcessorSeconds(processes));
        await Task.Delay(time, TimeProvider.System);
        var (done, elapsed) = (Interlocked.Read(ref _done) - before, Stopwatch.GetElapsedTime(start));
        var processor = ProcessorSeconds(processes) - processorBefore;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{done} {elapsed.TotalSeconds:F6} {processor:F2}"));
        await end.CancelAsync();
        Environment.Exit(all.Any(task => task.IsFaulted) ? 1 : 0); // which closes the connections
    }

    // User and system time, which Linux counts in hundredths of a second (proc(5)).
    private static double ProcessorSeconds(string[] processes) => processes.Sum(process =>
    {
        var stat = File.ReadAllText($"/proc/{process}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / 100.0;
    });

    private static async Task ReceiveAsync(IPEndPoint endPoint, CancellationToken end)
    {
        using var socket = await OpenAsync(endPoint);
        await socket.SendAsync("b"u8.ToArray());
        var buffer = new byte[BulkSize];
        while (!end.IsCancellationRequested)
        {
            var count = await socket.ReceiveAsync(buffer);
            Interlocked.Add(ref _done, count > 0 ? count : throw new IOException("the connection was closed"));
        }
    }

    private static async Task ConnectAsync(IPEndPoint endPoint, CancellationToken end)
    {
        var message = new byte[MessageSize];
        while (!end.IsCancellationRequested)
        {
            using var socket = await OpenAsync(endPoint);
            await ExchangeAsync(socket, message);
            socket.Shutdown(SocketShutdown.Send);
            await socket.ReceiveAsync(message); // the end
            Interlocked.Increment(ref _done);
        }
    }

    private static async Task TakeTurnsAsync(IPEndPoint endPoint, CancellationToken end)
    {
        var message = new byte[MessageSize];
        using var socket = await OpenAsync(endPoint);
        while (!end.IsCancellationRequested)
        {
            await ExchangeAsync(socket, message);
            Interlocked.Increment(ref _done);
        }
    }

    private static async Task CountFailuresAsync(IPEndPoint endPoint, int connections, TimeSpan time)
    {
        using var end = new CancellationTokenSource(time);
        await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => Task.Run(async () =>
        {
            var message = new byte[MessageSize];
            while (!end.IsCancellationRequested)
            {
                try
                {
                    using var socket = await OpenAsync(endPoint);
                    for (var turn = 0; turn < TurnsOfAConnection && !end.IsCancellationRequested; turn++)
                    {
                        await ExchangeAsync(socket, message);
                        Interlocked.Increment(ref _done);
                    }
                }
                catch (Exception e) when (e is SocketException or IOException)
                {
                    Interlocked.Increment(ref _failed);
                }
            }
        })));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_done} {_failed}"));
    }

    private static async Task CountHttp2FailuresAsync(Uri address, int connections, TimeSpan time)
    {
        const int Streams = 8;
        using var end = new CancellationTokenSource(time);
        await Task.WhenAll(Enumerable.Range(0, connections).Select(async _ =>
        {
            using var handler = new SocketsHttpHandler { UseProxy = false };
#pragma warning disable CA5359 // The server is a proxy under test, with a certificate of today.
            handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
            using var client = new HttpClient(handler)
            {
                DefaultRequestVersion = HttpVersion.Version20,
                DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
            };
            await Task.WhenAll(Enumerable.Range(0, Streams).Select(_ => Task.Run(async () =>
            {
                while (!end.IsCancellationRequested)
                {
                    try
                    {
                        await client.GetByteArrayAsync(address);
                        Interlocked.Increment(ref _done);
                    }
                    catch (HttpRequestException e)
                    {
                        Interlocked.Increment(ref _failed);
                        await Console.Error.WriteLineAsync(e.ToString());
                    }
                }
            })));
        }));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_done} {_failed}"));
    }

    private static async Task IdleAsync(IPEndPoint endPoint, int connections)
    {
        var sockets = new Socket[connections];
        var message = new byte[MessageSize];
        for (var i = 0; i < connections; i++)
        {
            sockets[i] = await OpenAsync(endPoint);
            await ExchangeAsync(sockets[i], message);
        }
        Console.WriteLine($"{connections} connections are idle");
        await Console.In.ReadLineAsync();
    }

    private static async Task<Socket> OpenAsync(IPEndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(endPoint);
        return socket;
    }

    private static async Task ExchangeAsync(Socket socket, byte[] message)
    {
        await socket.SendAsync(message);
        for (var count = 0; count < message.Length;)
        {
            var more = await socket.ReceiveAsync(message.AsMemory(count));
            count += more > 0 ? more : throw new IOException("the connection was closed");
        }
    }
}
