using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The real program, with more clients than files.</summary>
[Platform("Linux")]
[Category("Program")]
internal sealed class OutOfFilesTests
{
    private const int Files = 300;
    private const string Complaint =
        "listener 'web': connections wait to be accepted, because too few files are left; raise the limit (ulimit -n)";

    [Test]
    public async Task Files_RunOut_IsToldAndPassesWithoutABusyLoop()
    {
        var (port, management) = (ReservedPorts.Next(), ReservedPorts.Next());
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Management = new { Address = $"http://127.0.0.1:{management}" },
                Listeners = new { web = new { Address = $"http://127.0.0.1:{port}", Pool = "web" } },
                Pools = new
                {
                    web = new
                    {
                        PassiveHealth = new { Ejection = "00:00:01" },
                        Backends = new { b1 = new { backend.Address } }
                    }
                },
            },
        }));
        await using var program = await ProgramUnderTest.StartWithFilesAsync(Files, "LoadBalancer", "--config", file);
        File.Delete(file);
        (await AskAsync(port)).Should().EndWith("ok");
        using var prometheus = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{management}") }; // has one connection
        (await prometheus.GetStringAsync("/metrics")).Should().Contain($"\nprocess_max_fds {Files}\n").And.Contain("\nprocess_threads ");

        var shortage = Stopwatch.StartNew();
        // The system's queue holds those that wait.
        var clients = await Task.WhenAll(Enumerable.Range(0, Files).Select(_ => RawPeer.ConnectAsync(port)));
        await Eventually.BeTrueAsync(() => Complaints(program) > 0, "there are no files left");
        var (before, started) = (program.ProcessorTime, Stopwatch.StartNew());
        await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);

        (program.ProcessorTime - before).Should().BeLessThan(started.Elapsed / 2, "it tries again ten times a second, and no more");
        Complaints(program).Should().BeLessThanOrEqualTo(1 + (int)(shortage.Elapsed.TotalSeconds / 10), "not every try is told");
        await clients[0].SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await clients[0].ReadResponseAsync()).Should().EndWith("ok", "who is in is served");
        var open = Regex.Match(await prometheus.GetStringAsync("/metrics"), "\nprocess_open_fds ([0-9]+)\n").Groups[1].Value;
        int.Parse(open, CultureInfo.InvariantCulture).Should().BeInRange(Files / 2, Files, "some are kept for other ports");
        foreach (var client in clients)
        {
            client.Dispose();
        }
        await Eventually.BeTrueAsync(async () => (await AskAsync(port)).EndsWith("ok", StringComparison.Ordinal), "there are files again");
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    // A process just started still has code to load, which needs files.
    [TestCase("Clients")]
    [TestCase("Workers")]
    [TestCase("HealthCheck", "AlternativePing", "WorkerCheckClients", "WorkerCheckWorkers")]
    [TestCase("TaskClients", "TaskWorkers")]
    public async Task Files_RunOutAtPortsOfOtherProtocols_TheProcessLivesAndOthersAreServed(params string[] flooded)
    {
        string[] names =
        [
            "web", "TaskClients", "TaskWorkers",
            "Clients", "Workers", "HealthCheck", "AlternativePing", "WorkerCheckClients", "WorkerCheckWorkers",
        ];
        var first = ReservedPorts.Next(names.Length);
        var ports = names.Index().ToDictionary(port => port.Item, port => first + port.Index);
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Listeners = new
                {
                    store = new
                    {
                        Protocol = "Broker",
                        Address = "tcp://127.0.0.1",
                        Pool = "store",
                        Ports = names[3..].ToDictionary(name => name, name => ports[name]),
                    },
                    tasks = new
                    {
                        Protocol = "Tasks",
                        Address = $"tcp://127.0.0.1:{ports["TaskClients"]}",
                        WorkerAddress = $"tcp://127.0.0.1:{ports["TaskWorkers"]}",
                        Pool = "tasks",
                    },
                    web = new { Address = $"http://127.0.0.1:{ports["web"]}", Pool = "web" },
                },
                Pools = new { store = new { }, tasks = new { }, web = new { Backends = new { b1 = new { backend.Address } } } },
            },
        }));
        await using var program = await ProgramUnderTest.StartWithFilesAsync(Files, "LoadBalancer", "--config", file);
        await Eventually.BeTrueAsync(
            () => program.Output.Any(line => line.Contains("listener 'web' listens on", StringComparison.Ordinal)),
            "it listens everywhere");
        File.Delete(file);

        var clients = await Task.WhenAll(
            Enumerable.Range(0, Files + 100).Select(i => RawPeer.ConnectAsync(ports[flooded[i % flooded.Length]])));
        await Eventually.BeTrueAsync(
            () => program.Output.Any(line => line.Contains("connections wait to be accepted", StringComparison.Ordinal)),
            "no files are left");

        foreach (var client in clients)
        {
            client.Dispose();
        }
        await Eventually.BeTrueAsync(
            async () => (await AskAsync(ports["web"])).EndsWith("ok", StringComparison.Ordinal), "the others are served again");
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
        (await program.TerminateAsync()).Should().Be(0);
    }

    private static int Complaints(ProgramUnderTest program) =>
        program.Output.Count(line => line.EndsWith(Complaint, StringComparison.Ordinal));

    private static Task<string> AskAsync(int port) => RawPeer.ExchangeAsync(port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
}
