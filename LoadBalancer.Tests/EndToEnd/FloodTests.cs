using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// The real program, with more connections to one of its ports than it may open files: who uses another port is served meanwhile.
/// </summary>
[Platform("Linux")]
[Category("Flood")]
[Explicit("takes minutes; .ci/run runs it")]
[NonParallelizable] // It takes all that the machine has.
internal sealed class FloodTests
{
    private static readonly string[] Ports =
    [
        "web", "secure", "relay", "tasks", "workers", "management", "Clients", "Workers", "HealthCheck", "AlternativePing",
        "WorkerCheckClients", "WorkerCheckWorkers",
    ];

    [TestCase(300)]
    [TestCase(1024)]
    [TestCase(8192)]
    public async Task Flood_OfEachPort_LeavesTheOthersServed(int files)
    {
        using var certificates = new TestCertificates();
        using var folder = new TemporaryDirectory();
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var echo = RawServer.Echoing();
        var offset = StorePorts.NextOffset();
        var ports = Ports[..6].ToDictionary(name => name, _ => ReservedPorts.Next());
        foreach (var property in StorePorts.At(offset).GetType().GetProperties().Where(property => property.PropertyType == typeof(int)))
        {
            ports[property.Name] = (int)property.GetValue(StorePorts.At(offset))!;
        }
        var certificate = certificates.Issue("it", "it.test");
        var file = folder.File("flood.json");
        await File.WriteAllTextAsync(file, $$"""
            { "LoadBalancer": {
                "Listeners": {
                  "web": { "Address": "http://127.0.0.1:{{ports["web"]}}", "Pool": "web" },
                  "secure": { "Address": "https://127.0.0.1:{{ports["secure"]}}", "Pool": "web",
                    "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] },
                  "relay": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{ports["relay"]}}", "Pool": "relay" },
                  "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{ports["tasks"]}}",
                    "WorkerAddress": "tcp://127.0.0.1:{{ports["workers"]}}", "Pool": "tasks" },
                  "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store", "Ports": {
                    {{string.Join(", ", Ports[6..].Select(name => $"\"{name}\": {ports[name]}"))}} } } },
                "Pools": {
                  "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } },
                  "relay": { "Backends": { "b1": { "Address": "tcp://127.0.0.1:{{echo.Port}}" } } },
                  "tasks": { }, "store": { } },
                "Management": { "Address": "http://127.0.0.1:{{ports["management"]}}" } } }
            """);
        await using var program = await ProgramUnderTest.StartWithFilesAsync(files, "LoadBalancer", "--config", file);
        await Eventually.BeTrueAsync(
            () => program.Output.Count(line => line.Contains("listens on", StringComparison.Ordinal)) == 5, "all listen");

        var starving = new List<string>();
        foreach (var flooded in Ports)
        {
            var flood = await FloodAsync(ports[flooded], files);
            // Twice: a port learns that files are short by the first connection that it accepts.
            foreach (var other in Ports.Concat(Ports).Where(other => other != flooded))
            {
                if (!await IsServedAsync(other, ports[other]))
                {
                    starving.Add($"{other} while {flooded} is flooded");
                }
            }
            flood.ForEach(socket => socket.Dispose());
            await Eventually.BeTrueAsync(() => IsServedAsync(flooded, ports[flooded]), $"{flooded} is served again");
        }

        starving.Should().BeEmpty();
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
        (await program.TerminateAsync()).Should().Be(0);
    }

    // Those that are not accepted wait in the queue of the system, and the last ones in front of it. What the program accepts it has
    // accepted in moments; a second is long.
    private static async Task<List<Socket>> FloodAsync(int port, int count)
    {
        var sockets = new List<Socket>();
        for (var i = 0; i < count; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            sockets.Add(socket);
            try
            {
                socket.Connect(IPAddress.Loopback, port);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
            {
                // It is under way.
            }
        }
        await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);
        return sockets;
    }

    private static async Task<bool> IsServedAsync(string name, int port)
    {
        using var patience = new CancellationTokenSource(TimeLimits.Of(10));
        try
        {
            return name switch
            {
                "web" => await GetAsync($"http://127.0.0.1:{port}/", patience.Token) == "ok",
                "secure" => await GetAsync($"https://127.0.0.1:{port}/", patience.Token) == "ok",
                "management" => (await GetAsync($"http://127.0.0.1:{port}/metrics", patience.Token)).Length > 0,
                "relay" => await AnswerAsync(port, "x", patience.Token) == "x",
                "tasks" => (await AnswerAsync(port, "nonsense\n", patience.Token)).StartsWith("ERROR|", StringComparison.Ordinal),
                "workers" => (await AnswerAsync(port, "REGISTER|w|1\n", patience.Token)).StartsWith("ACK|w", StringComparison.Ordinal),
                _ => (await AnswerAsync(port, "", patience.Token))[0] == '\u00ff', // the signature of ZMTP
            };
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or OperationCanceledException or IndexOutOfRangeException)
        {
            return false;
        }
    }

    private static async Task<string> GetAsync(string address, CancellationToken cancellationToken)
    {
        using var client = new HttpClient(TestNode.NewHandler());
        return await client.GetStringAsync(new Uri(address), cancellationToken);
    }

    private static async Task<string> AnswerAsync(int port, string text, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port, cancellationToken);
        await socket.SendAsync(System.Text.Encoding.ASCII.GetBytes(text), cancellationToken);
        var buffer = new byte[100];
        var count = await socket.ReceiveAsync(buffer, cancellationToken);
        return System.Text.Encoding.Latin1.GetString(buffer, 0, count);
    }
}
