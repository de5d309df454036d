using System.Text.Json;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What logrotate does to the access log of the real program: rename, then a signal.</summary>
[Platform("Linux")]
[Category("Program")]
internal sealed class LogRotationTests
{
    [TestCase(ProgramUnderTest.SigHup)]
    [TestCase(ProgramUnderTest.SigUsr1)]
    public async Task Signal_AfterTheFileWasRenamed_LaterLinesGoToANewFileAndNoneIsLost(int signal)
    {
        using var directory = new TemporaryDirectory();
        var configuration = directory.File("appsettings.json");
        var (file, rotated) = (directory.File("access.log"), directory.File("access.log.1"));
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        var port = ReservedPorts.Next();
        await File.WriteAllTextAsync(configuration, JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Listeners = new { web = new { Address = $"http://127.0.0.1:{port}", Pool = "web", AccessLog = file } },
                Pools = new { web = new { Backends = new { b1 = new { backend.Address } } } },
            },
        }));
        await using var program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", configuration);
        using var http = new HttpClient();

        await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/before"));
        await Eventually.BeTrueAsync(async () => (await File.ReadAllTextAsync(file)).Contains("/before"), "the line is written");
        File.Move(file, rotated);
        await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/between"));
        program.Signal(signal);
        await Eventually.BeTrueAsync(() => File.Exists(file), "the file is there anew");
        await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/after"));

        (await program.TerminateAsync()).Should().Be(0);
        string[] lines = [.. await File.ReadAllLinesAsync(rotated), .. await File.ReadAllLinesAsync(file)];
        lines.Select(line => line.Split(' ')[6]).Should().BeEquivalentTo("/before", "/between", "/after");
        (await File.ReadAllTextAsync(file)).Should().Contain("/after").And.NotContain("/before");
    }
}
