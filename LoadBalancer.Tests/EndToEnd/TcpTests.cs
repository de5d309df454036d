using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The real program, relaying TCP.</summary>
[Category("Program")]
internal sealed class TcpTests
{
    private const int Files = 256;
    private const string Complaint =
        "listener 'chat': connections wait to be accepted, because too few files are left; raise the limit (ulimit -n)";

    [Test]
    [Platform("Linux")]
    public async Task Files_RunOut_IsToldAndPassesWithoutABusyLoop()
    {
        await using var backend = RawServer.Echoing();
        var (port, file) = await WriteAsync(backend.Port);
        await using var program = await ProgramUnderTest.StartWithFilesAsync(Files, "LoadBalancer", "--config", file);
        File.Delete(file);
        await EchoAsync(port);

        var shortage = Stopwatch.StartNew();
        // The system's queue holds those that wait.
        var clients = await Task.WhenAll(Enumerable.Range(0, Files).Select(_ => RawPeer.ConnectAsync(port)));
        await Eventually.BeTrueAsync(() => Complaints(program) > 0, "there are no files left");
        var (before, started) = (program.ProcessorTime, Stopwatch.StartNew());
        await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);

        (program.ProcessorTime - before).Should().BeLessThan(started.Elapsed / 2, "it tries again ten times a second, and no more");
        Complaints(program).Should().BeLessThanOrEqualTo(1 + (int)(shortage.Elapsed.TotalSeconds / 10), "not every try is told");
        await clients[0].SendAsync("hello");
        (await clients[0].ReadAsync(5)).Should().Be("hello", "who is in is served");
        foreach (var client in clients)
        {
            client.Dispose();
        }
        await EchoAsync(port);
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    [Platform("Linux")]
    public async Task Clients_EndInEveryWayWhileBackendsDie_LeaveNothingBehind()
    {
        await using var well = RawServer.Echoing();
        await using var dying = new RawServer(async (peer, number) =>
        {
            var text = await peer.ReadSomeAsync();
            if (number % 2 == 0)
            {
                await peer.SendAsync(text);
            }
            peer.Reset();
        });
        var (port, file) = await WriteAsync(well.Port, dying.Port);
        await using var program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);
        File.Delete(file);
        using var management =
            new HttpClient { BaseAddress = new Uri(program.Output.First(line => line.Contains("dashboard")).Split(' ')[^1]) };
        await management.GetStringAsync("/metrics");
        await EndInEveryWayAsync(port, 20);
        await QuietAsync(management);
        var before = program.OpenFiles.Length;

        await EndInEveryWayAsync(port, 300);

        await QuietAsync(management);
        await Eventually.BeTrueAsync(() => program.OpenFiles.Length <= before, "every file is closed");
        var metrics = await management.GetStringAsync("/metrics");
        metrics.Should().Contain("loadbalancer_connections_total{pool=\"logic\",backend=\"b1\",result=\"completed\"}")
            .And.Contain("loadbalancer_connections_total{pool=\"logic\",backend=\"b1\",result=\"client_reset\"}")
            .And.Contain("loadbalancer_connections_total{pool=\"logic\",backend=\"b2\",result=\"backend_reset\"}")
            .And.Contain("loadbalancer_bytes_total{pool=\"logic\",backend=\"b1\",direction=\"in\"}");
        var pool = JsonNode.Parse(await management.GetStringAsync("/api/pools"))!["pools"]![0]!;
        (pool["requestsPerSecond"] is null, pool["bytesInPerSecond"] is null, pool["backends"]![0]!["bytesIn"]!.GetValue<long>() > 0)
            .Should().Be((true, false, true));
        (await program.TerminateAsync()).Should().Be(0);
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    public async Task Configuration_Changes_HoldsForNewConnectionsAndSparesTheOthers()
    {
        await using var first = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("1");
            await peer.SendAsync(await peer.ReadSomeAsync());
        });
        await using var second = new RawServer((peer, _) => peer.SendAsync("2"));
        var (port, file) = await WriteAsync(first.Port);
        await using var program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);
        using var before = await RawPeer.ConnectAsync(port);
        (await before.ReadAsync(1)).Should().Be("1");

        await File.WriteAllTextAsync(file, Configuration(port, [second.Port], pool: "other"));
        await Eventually.BeTrueAsync(
            async () =>
            {
                using var client = await RawPeer.ConnectAsync(port);
                return await client.ReadAsync(1) == "2";
            },
            "it is taken up");

        await before.SendAsync("still here");
        (await before.ReadToItsEndAsync()).Should().Be(("still here", false));
        before.EndSending();
        File.Delete(file);
        (await program.TerminateAsync()).Should().Be(0);
    }

    private static async Task EndInEveryWayAsync(int port, int count) => await Task.WhenAll(Enumerable.Range(0, count).Select(async i =>
    {
        try
        {
            using var client = await RawPeer.ConnectAsync(port);
            var text = new string('x', 1 + i % 7 * 20_000);
            switch (i % 6)
            {
                case 0:
                    client.Reset(); // while it is being connected
                    break;
                case 1:
                    await client.SendAsync(text);
                    client.Reset(); // in the middle
                    break;
                case 2:
                    client.EndSending(); // before the first byte
                    await client.ReadToItsEndAsync();
                    break;
                case 3:
                    await client.SendAsync(text);
                    client.EndSending();
                    await client.ReadToItsEndAsync();
                    break;
                case 4:
                    await client.SendByteByByteAsync("one by one");
                    await client.ReadSomeAsync();
                    client.Reset();
                    break;
                default:
                    await client.SendAsync(text); // and gone, with the answer unread
                    break;
            }
        }
        catch (SocketException)
        {
            // Its backend has died.
        }
    }));

    private static async Task QuietAsync(HttpClient management) => await Eventually.BeTrueAsync(
        async () => JsonNode.Parse(await management.GetStringAsync("/api/pools"))!["pools"]![0]!["backends"]!.AsArray()
            .All(backend => backend!["inFlight"]!.GetValue<int>() == 0), "nothing is in flight");

    private static int Complaints(ProgramUnderTest program) =>
        program.Output.Count(line => line.EndsWith(Complaint, StringComparison.Ordinal));

    private static async Task EchoAsync(int port)
    {
        using var client = await RawPeer.ConnectAsync(port);
        await client.SendAsync("hello");
        (await client.ReadAsync(5)).Should().Be("hello");
    }

    private static async Task<(int Port, string File)> WriteAsync(params int[] backends)
    {
        var (port, file) = (ReservedPorts.Next(), Path.GetTempFileName());
        await File.WriteAllTextAsync(file, Configuration(port, backends));
        return (port, file);
    }

    // Backends that break off are not taken out, so that they go on doing it.
    private static string Configuration(int port, int[] backends, string pool = "logic") => JsonSerializer.Serialize(new
    {
        LoadBalancer = new
        {
            Listeners = new { chat = new { Protocol = "Tcp", Address = $"tcp://127.0.0.1:{port}", Pool = pool } },
            Pools = new Dictionary<string, object>
            {
                [pool] = new
                {
                    PassiveHealth = new { Failures = 1_000_000, Ejection = "00:00:01" },
                    Backends = backends.Index().ToDictionary(
                        entry => $"b{entry.Index + 1}", entry => new { Address = $"tcp://127.0.0.1:{entry.Item}" }),
                },
            },
            Management = new { Address = "http://127.0.0.1:0" },
        },
    });
}
