using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Diagnostics.Access;

/// <summary>The file of an access log, which other programs write to, rename and cut.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AccessLogFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeClock _clock = new();

    private string FilePath => _directory.File("access.log");

    private HttpListenerOptions Options => new() { AccessLog = FilePath };

    [Test]
    public async Task Write_TwoNodesOnOneFile_EveryLineIsThereAndWhole()
    {
        using var one = Open();
        using var two = Open();
        await Task.WhenAll(one.StartAsync(CancellationToken.None), two.StartAsync(CancellationToken.None));

        for (var i = 0; i < 30; i++)
        {
            Write(one, $"/one/{i}");
            Write(two, $"/two/{i}");
            await WrittenAsync(2 * (i + 1));
        }

        await Task.WhenAll(one.StopAsync(CancellationToken.None), two.StopAsync(CancellationToken.None));
        (await TargetsAsync(FilePath)).Should().BeEquivalentTo(Enumerable.Range(0, 30).SelectMany(i => new[] { $"/one/{i}", $"/two/{i}" }));
    }

    [Test]
    public async Task Write_FileIsCopiedAndTruncated_GoesOnAtItsBeginning()
    {
        using var logs = Open();
        await logs.StartAsync(CancellationToken.None);
        Write(logs, "/before");
        await WrittenAsync(1);

        await using (var file = new FileStream(FilePath, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            file.SetLength(0);
        }
        Write(logs, "/after");
        await logs.StopAsync(CancellationToken.None);

        (await File.ReadAllTextAsync(FilePath)).Should().NotContain("\0");
        (await TargetsAsync(FilePath)).Should().Equal("/after");
    }

    public void Dispose() => _directory.Dispose();

    private AccessLogs Open()
    {
        var logs = new AccessLogs(_clock, NullLogger<AccessLog>.Instance);
        logs.Open(new Dictionary<string, ListenerOptions> { ["web"] = Options });
        return logs;
    }

    private void Write(AccessLogs logs, string target) => logs.For(Options)!.Write(
        new AccessRecord { Client = IPAddress.Loopback, Method = "GET", Target = target, Protocol = "HTTP/1.1" });

    private async Task WrittenAsync(int lines) => await Eventually.BeTrueAsync(
        async () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return (await File.ReadAllLinesAsync(FilePath)).Length >= lines;
        },
        "the lines are written");

    private static async Task<IEnumerable<string>> TargetsAsync(string file) =>
        (await File.ReadAllLinesAsync(file)).Select(line => line.Split(' ')[6]);
}
