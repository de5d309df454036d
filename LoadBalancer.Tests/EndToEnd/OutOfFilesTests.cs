using System.Diagnostics;
using System.Text.Json;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The real program, with more clients than files.</summary>
[Platform("Linux")]
internal sealed class OutOfFilesTests
{
    private const int Files = 300;
    private const string Complaint =
        "listener 'web': connections wait to be accepted, because too few files are left; raise the limit (ulimit -n)";

    [Test]
    public async Task Files_RunOut_IsToldAndPassesWithoutABusyLoop()
    {
        var port = ReservedPorts.Next();
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
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
        foreach (var client in clients)
        {
            client.Dispose();
        }
        await Eventually.BeTrueAsync(async () => (await AskAsync(port)).EndsWith("ok", StringComparison.Ordinal), "there are files again");
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    private static int Complaints(ProgramUnderTest program) =>
        program.Output.Count(line => line.EndsWith(Complaint, StringComparison.Ordinal));

    private static Task<string> AskAsync(int port) => RawPeer.ExchangeAsync(port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
}
