using System.Buffers;
using System.Net;
using System.Text;
using System.Text.Json;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Diagnostics.Access;

internal sealed class AccessLogTests
{
    private readonly FakeClock _clock = new();

    [Test]
    public void WriteTo_Request_IsOneLineWithoutItsQuery()
    {
        var record = Record("/a b\"c\u00e9?token=secret");
        (record.Status, record.Bytes, record.Duration) = (200, 104, TimeSpan.FromMilliseconds(1.5));
        (record.Pool, record.Backend) = ("web", "b1");

        Line(record).Should().Be("127.0.0.1 - - [01/Jan/2025:00:00:00 +0000] \"GET /a%20b%22c%E9 HTTP/1.1\" 200 104 0.001500 web/b1\n");
    }

    [Test]
    public void WriteTo_EverythingLong_IsStillOneWholeLine()
    {
        var record = new AccessRecord
        {
            Client = IPAddress.Parse("1111:2222:3333:4444:5555:6666:7777:8888%4294967295"),
            Method = new string('M', 8000),
            Target = "/" + new string('\u00e9', 8000),
            Protocol = "HTTP/1.1",
            Status = 999,
            Bytes = long.MaxValue,
            Duration = TimeSpan.FromDays(1000),
            Pool = new string('p', 1000),
            Backend = new string('\u20ac', 1000),
        };

        Line(record).Should().StartWith("1111:").And.Contain(" \"MMMM")
            .And.Contain("%E9 HTTP/1.1\" 999 9223372036854775807 86400000.000000 ppp").And.EndWith("\u20ac\n");
    }

    [Test]
    public void WriteTo_Json_IsOneObjectOnALine()
    {
        var line = Line(Full("Json"));

        line.Should().EndWith("}\n");
        line.TrimEnd().Should().NotContain("\n");
        JsonDocument.Parse(line).RootElement.EnumerateObject().Select(property => $"{property.Name}={property.Value}").Should().Equal(
            "time=2025-01-01T00:00:00.000Z", "client=127.0.0.1", "method=GET", "host=a.test", "path=/a\"b\u00e9\n", "query=token=secret",
            "route=api", "protocol=HTTP/2", "tls=1.3", "status=200", "bytes=104", "seconds=0.0015", "backendSeconds=0.001",
            "backend=web/b1",
            "attempts=2", "error=http_response_incomplete", "userAgent=curl \"8\"", "referer=http://b.test/", "requestId=r1", "traceId=t1");
    }

    [Test]
    public void WriteTo_ListOfFields_HasThese()
    {
        JsonDocument.Parse(Line(Full("status", "Path", "query"))).RootElement.EnumerateObject()
            .Select(property => $"{property.Name}={property.Value}").Should()
            .Equal("status=200", "path=/a\"b\u00e9\n", "query=token=secret");
    }

    [TestCase("Common")]
    [TestCase("Combined")]
    [TestCase("Json")]
    public void WriteTo_WithoutQueries_HasNone(string format)
    {
        var layout = AccessLogLayout.Of(new HttpListenerOptions { AccessLogFormat = [format], AccessLogQuery = false });

        Line(Full(layout)).Should().NotContain("secret");
    }

    [Test]
    public void WriteTo_Combined_IsWhatNginxWrites() => Line(Full("combined")).Should().Be(
        "127.0.0.1 - - [01/Jan/2025:00:00:00 +0000] \"GET /a%22b%E9%0A?token=secret HTTP/2\" 200 104 "
        + "\"http://b.test/\" \"curl %228%22\"\n");

    [TestCase("Combine", "Combine")]
    [TestCase("status,Json", "Json")]
    [TestCase("status,statsu", "statsu")]
    [TestCase("Json", null)]
    public void FindUnknown_Format_IsWhatIsNotValid(string format, string? unknown) =>
        AccessLogLayout.FindUnknown(format.Split(',')).Should().Be(unknown);

    [Test]
    public void WriteTo_AnsweredByUs_HasNoBackend() => Line(Record("/")).Should().EndWith(" -\n");

    [Test]
    public async Task Write_Always_ArrivesAfterTheBatchInterval()
    {
        var stream = new MemoryStream();
        using var log = new AccessLog("test", () => stream, _clock, NullLogger<AccessLog>.Instance);
        await log.StartAsync(CancellationToken.None);

        log.Write(Record("/1"));
        log.Write(Record("/2"));
        await Eventually.BeTrueAsync(() => _clock.UntilNextTimer is not null, "the batch is collected");
        stream.Length.Should().Be(0);
        _clock.Advance(TimeSpan.FromMilliseconds(100));

        await Eventually.BeTrueAsync(() => stream.Length > 0, "the batch is written");
        await log.StopAsync(CancellationToken.None);
        Encoding.Latin1.GetString(stream.ToArray()).Split('\n').Should().HaveCount(3);
    }

    [Test]
    public async Task Stop_BeforeItsLoopHasBegun_WritesTheLines()
    {
        var stream = new MemoryStream();
        using var log = new AccessLog("test", () => stream, _clock, NullLogger<AccessLog>.Instance);
        log.Write(Record("/only"));

        await log.StopAsync(CancellationToken.None);

        Encoding.Latin1.GetString(stream.ToArray()).Should().Contain("GET /only ");
    }

    [Test]
    public async Task Stop_LinesWaiting_WritesThem()
    {
        var stream = new MemoryStream();
        using var log = new AccessLog("test", () => stream, _clock, NullLogger<AccessLog>.Instance);
        await log.StartAsync(CancellationToken.None);
        log.Write(Record("/last"));
        await Eventually.BeTrueAsync(() => _clock.UntilNextTimer is not null, "the batch is collected");

        await log.StopAsync(CancellationToken.None);

        Encoding.Latin1.GetString(stream.ToArray()).Should().Contain("GET /last ");
    }

    [Test]
    public void Write_Full_DropsAndCounts()
    {
        using var log = new AccessLog("test", () => Stream.Null, _clock, NullLogger<AccessLog>.Instance, capacity: 1);

        for (var i = 0; i < 1000; i++)
        {
            log.Write(Record("/"));
        }

        log.Dropped.Should().BeInRange(1000 - Environment.ProcessorCount, 999, "each core has room for one line");
    }

    [TestCase(typeof(UnauthorizedAccessException))]
    [TestCase(typeof(ObjectDisposedException))]
    [TestCase(typeof(NotSupportedException))]
    [TestCase(typeof(IOException))]
    public async Task Write_StreamFails_LosesThoseLinesAndWritesTheNext(Type failure)
    {
        using var stream = new FailingStream();
        using var log = new AccessLog("test", () => stream, _clock, NullLogger<AccessLog>.Instance);
        await log.StartAsync(CancellationToken.None);
        stream.Failure = (Exception)Activator.CreateInstance(failure, "test")!;

        log.Write(Record("/lost"));
        await AdvanceUntilAsync(() => log.Dropped == 1);
        stream.Failure = null;
        log.Write(Record("/kept"));
        await AdvanceUntilAsync(() => stream.Length > 0);

        await log.StopAsync(CancellationToken.None);
        Encoding.Latin1.GetString(stream.ToArray()).Should().Contain("/kept").And.NotContain("/lost");
    }

    [Test]
    public async Task Write_StreamGoesOnFailing_SaysSoOnceInTenSeconds()
    {
        var recorder = new LogRecorder();
        using var loggers = LoggerFactory.Create(builder => builder.AddProvider(recorder));
        using var stream = new FailingStream { Failure = new IOException("No space left on device") };
        using var log = new AccessLog("test", () => stream, _clock, loggers.CreateLogger<AccessLog>());
        await log.StartAsync(CancellationToken.None);

        for (var i = 1; i <= 120; i++) // twelve seconds
        {
            log.Write(Record("/"));
            await AdvanceUntilAsync(() => log.Dropped == i);
        }
        await log.StopAsync(CancellationToken.None);

        recorder.Lines.Where(line => line.Contains("lost", StringComparison.Ordinal))
            .Should().HaveCount(3, "the first, one in ten seconds, and the rest at the end")
            .And.OnlyContain(line => line.Contains("No space left on device", StringComparison.Ordinal));
    }

    [Test]
    public async Task Write_LinesLostAndNoneFollows_IsReportedWhenTheTenSecondsAreOver()
    {
        var recorder = new LogRecorder();
        using var loggers = LoggerFactory.Create(builder => builder.AddProvider(recorder));
        using var stream = new FailingStream { Failure = new IOException("No space left on device") };
        using var log = new AccessLog("test", () => stream, _clock, loggers.CreateLogger<AccessLog>());
        await log.StartAsync(CancellationToken.None);

        for (var i = 1; i <= 2; i++)
        {
            log.Write(Record("/"));
            await AdvanceUntilAsync(() => log.Dropped == i);
        }
        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return recorder.Lines.Count == 2;
            },
            "the second loss is reported too");

        await log.StopAsync(CancellationToken.None);
    }

    [Test]
    public async Task Node_WithAccessLog_WritesOneLineForEachRequest()
    {
        var file = Path.GetTempFileName();
        try
        {
            await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await using (var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { AccessLog = file }))
            {
                await node.Client.GetStringAsync("/one?secret=1");
                var answer = await node.ExchangeAsync("TRACE /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                answer.Should().StartWith("HTTP/1.1 405");
                await node.StopAsync();
            }

            var lines = await File.ReadAllLinesAsync(file);
            lines.Should().HaveCount(2); // in any order: each core has lines of its own
            lines.Should().ContainSingle(line => line.Contains("/one"))
                .Which.Should().MatchRegex(@"^127\.0\.0\.1 - - \[.*\] ""GET /one HTTP/1\.1"" 200 2 \d+\.\d{6} web/b1$");
            lines.Should().ContainSingle(line => line.Contains("/two"))
                .Which.Should().MatchRegex(@"""TRACE /two HTTP/1\.1"" 405 29 \d+\.\d{6} -$");
        }
        finally
        {
            File.Delete(file);
        }
    }

    // One batch: the writer waits for the clock once it has heard of the line.
    private async Task AdvanceUntilAsync(Func<bool> isDone)
    {
        var interval = TimeSpan.FromMilliseconds(100);
        await Eventually.BeTrueAsync(
            () =>
            {
                if (!isDone() && _clock.TimersWithin(interval) > 0)
                {
                    _clock.Advance(interval);
                }
                return isDone();
            },
            "the batch is written, or lost");
    }

    private static string Line(AccessRecord record)
    {
        var line = new ArrayBufferWriter<byte>();
        record.WriteTo(line);
        return Encoding.UTF8.GetString(line.WrittenSpan);
    }

    private AccessRecord Full(params string[] format) => Full(AccessLogLayout.Of(new HttpListenerOptions { AccessLogFormat = format }));

    private AccessRecord Full(AccessLogLayout layout) => new()
    {
        Layout = layout,
        Time = _clock.GetUtcNow(),
        Client = IPAddress.Loopback,
        Method = "GET",
        Target = "/a\"b\u00e9\n?token=secret",
        Protocol = "HTTP/2",
        Status = 200,
        Bytes = 104,
        Duration = TimeSpan.FromMilliseconds(1.5),
        Pool = "web",
        Backend = "b1",
        Host = "a.test",
        TlsVersion = "1.3",
        UserAgent = "curl \"8\"",
        Referer = "http://b.test/",
        RequestId = "r1",
        TraceId = "t1",
        Route = "api",
        Attempts = 2,
        BackendTime = TimeSpan.FromMilliseconds(1),
        Error = "http_response_incomplete",
    };

    private AccessRecord Record(string target) =>
        new() { Time = _clock.GetUtcNow(), Client = IPAddress.Loopback, Method = "GET", Target = target, Protocol = "HTTP/1.1" };

    private sealed class FailingStream : MemoryStream
    {
        public Exception? Failure { get; set; }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            Failure is null || buffer.IsEmpty ? base.WriteAsync(buffer, cancellationToken) : throw Failure;
    }
}
