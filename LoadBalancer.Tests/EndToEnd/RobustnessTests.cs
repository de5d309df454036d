using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// The real program among hostile clients and hopeless backends: it must live, hold on to nothing, serve everybody else as if nothing
/// were the matter, and never pass off the part as the whole. What is random has a seed, so that a failure comes again.
/// </summary>
[Platform("Linux")]
[Category("Program")]
[NonParallelizable] // It takes all that the machine has.
internal sealed class RobustnessTests
{
    // 60 for a soak, through LOADBALANCER_SOAK_SECONDS.
    private static readonly TimeSpan Soak =
        TimeSpan.FromSeconds(double.Parse(
        Environment.GetEnvironmentVariable("LOADBALANCER_SOAK_SECONDS") ?? "8", CultureInfo.InvariantCulture));

    private readonly HttpClient _http = new();
    private readonly string _file = Path.GetTempFileName();
    private readonly List<string> _wrong = [];
    private ChaosServer[] _backends = [];
    private ProgramUnderTest _program = null!;
    private int _port;

    // Where no backend stalls, a timeout is not needed. On a slow machine it would only count failures against a backend.
    private async Task StartAsync(string timeout = "00:05:00")
    {
        _backends = [new ChaosServer(), new ChaosServer(), new ChaosServer()];
        _port = ReservedPorts.Next();
        _wrong.Clear();
        ChaosClient.Results.Clear();
        var configuration = new
        {
            LoadBalancer = new
            {
                Listeners = new
                {
                    web = new
                    {
                        Address = $"http://127.0.0.1:{_port}",
                        Pool = "web",
                        Via = "edge",
                        StatusEndpoints = true,
                        RequestHeadersTimeout = "00:00:02"
                    },
                },
                Pools = new
                {
                    web = new
                    {
                        Timeouts = new { Response = timeout, Idle = timeout },
                        PassiveHealth = new { Failures = 1_000_000 }, // All of them misbehave; none is to be spared for it.
                        Backends = _backends.Index().ToDictionary(entry => $"b{entry.Index + 1}", entry => new { entry.Item.Address }),
                    },
                },
            },
        };
        await File.WriteAllTextAsync(_file, JsonSerializer.Serialize(configuration));
        _program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", _file);
    }

    [TearDown]
    public async Task StopAsync()
    {
        if (TestContext.CurrentContext.Result.Outcome.Status == NUnit.Framework.Interfaces.TestStatus.Failed)
        {
            await TestContext.Out.WriteLineAsync(string.Join(
                '\n', _program.Output.Where(line => !line.Contains(" warn  pool ", StringComparison.Ordinal)).TakeLast(20)));
            await TestContext.Out.WriteLineAsync("open: " + string.Join(' ', _program.OpenFiles));
        }
        await _program.DisposeAsync();
        foreach (var backend in _backends)
        {
            await backend.DisposeAsync();
        }
    }

    [OneTimeTearDown]
    public void CleanUp()
    {
        _http.Dispose();
        File.Delete(_file);
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Slowloris_TwoHundredConnections_AreCutAndHurtNobody()
    {
        await StartAsync();
        using var over = new CancellationTokenSource();
        var normal = NormalTrafficAsync(4, over.Token);

        var answers = await Task.WhenAll(Enumerable.Range(0, 200).Select(async _ =>
        {
            using var client = await RawPeer.ConnectAsync(_port);
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
            var answer = client.ReadToEndAsync();
            while (!answer.IsCompleted)
            {
                try
                {
                    await client.SendAsync("x");
                    await Task.WhenAny(answer, Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System));
                }
                catch (SocketException)
                {
                    break; // It was cut.
                }
            }
            return await answer;
        }));

        await over.CancelAsync();
        (await normal).Should().BePositive();
        answers.Should().OnlyContain(answer => answer.Length == 0 || answer.StartsWith("HTTP/1.1 408 ", StringComparison.Ordinal));
        answers.Should().Contain(answer => answer.Length > 0);
        await ExpectPeaceAsync();
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Flood_MalformedRequests_ReachNoBackendAndHurtNobody()
    {
        await StartAsync();
        using var over = new CancellationTokenSource();
        var normal = NormalTrafficAsync(2, over.Token);

        await Task.WhenAll(Enumerable.Range(0, 32).Select(async seed =>
        {
            var mutator = new RequestMutator(seed);
            for (var i = 0; i < 250; i++)
            {
                await SendMalformedAsync(mutator.Next());
            }
        }));

        await over.CancelAsync();
        (await normal).Should().BePositive();
        await ExpectPeaceAsync();
    }

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task Soak_BackendsMisbehave_NoAnswerIsPassedOffAsWholeAndNothingLeaks()
    {
        await StartAsync(timeout: "00:00:03");
        var before = await WarmUpAsync();

        var over = TimeProvider.System.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, 32).Select(async seed =>
        {
            using var client = new ChaosClient(_port, seed);
            var random = new Random(seed);
            while (TimeProvider.System.GetElapsedTime(over) < Soak)
            {
                // Good ones mostly, or all would be waiting for those that stall.
                Note(await client.AskAsync(random.Next(
                    10) switch
                { 0 => ChaosServer.Headless, 1 => ChaosServer.Broken, _ => ChaosServer.Good }));
            }
        }));

        foreach (var (result, count) in ChaosClient.Results.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            TestContext.Out.WriteLine($"{count,8} {result}");
        }
        await ExpectPeaceAsync();
        await ExpectOpenFilesAsync(before);
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Clients_ResetInTheMiddleOfEverything_LeaveNothingBehindAndNobodyToBlame()
    {
        await StartAsync();
        var before = await WarmUpAsync();

        await Task.WhenAll(Enumerable.Range(0, 32).Select(async seed =>
        {
            var random = new Random(seed);
            for (var i = 0; i < 60; i++)
            {
                using var client = await RawPeer.ConnectAsync(_port);
                try
                {
                    if (await BeginAsync(client, random) && random.Next(2) == 0)
                    {
                        await client.ReadSomeAsync();
                    }
                }
                catch (SocketException)
                {
                    // Answered and closed before it was reset; that happens too.
                }
                client.Reset();
            }
        }));

        await ExpectPeaceAsync();
        (await BackendsAsync()).Sum(backend => (int)backend!["failures"]!)
            .Should().Be(0, "a client's fault never counts against a backend");
        await ExpectOpenFilesAsync(before);
    }

    /// <returns>Whether an answer will begin soon.</returns>
    private static async Task<bool> BeginAsync(RawPeer client, Random random)
    {
        var (id, length) = (random.Next(1_000_000), random.Next(1, 300_000));
        var body = new string('x', length);
        var (request, answered) = random.Next(8) switch
        {
            0 => ("", false), // connected, and that was all
            1 => ("GET / HTTP/1.1\r\nHo", false),
            2 => ($"POST /length/{id}/{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length + 1}\r\n\r\n{body}", false),
            3 => ($"POST /length/{id}/{length} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length + 1:x}\r\n{body}", false),
            4 => ($"PUT /length/{id}/{length} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n", false),
            5 => ($"POST /early/{id}/{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length + 1}\r\n\r\n{body}", true),
            6 => ($"GET /upgrade/{id}/{length} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello", true),
            _ => (string.Concat(Enumerable.Repeat($"GET /chunked/{id}/{length} HTTP/1.1\r\nHost: a\r\n\r\n", 3)), true),
        };
        await client.SendAsync(request);
        return answered;
    }

    private async Task SendMalformedAsync(byte[] request)
    {
        using var client = await RawPeer.ConnectAsync(_port);
        try
        {
            await client.SendAsync(Encoding.Latin1.GetString(request));
            // What is unfinished gets no answer, and is not worth waiting for.
            var answer = client.ReadAsync(1);
            await Task.WhenAny(answer, Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System));
            client.EndSending();
            var text = await answer + await client.ReadToEndAsync();
            if (text.Length > 0 && !text.StartsWith("HTTP/1.1 ", StringComparison.Ordinal))
            {
                Note("no answer at all: " + text);
            }
        }
        catch (SocketException)
        {
            // Cut in the middle.
        }
    }

    /// <returns>How many requests were answered well.</returns>
    private async Task<int> NormalTrafficAsync(int clients, CancellationToken until)
    {
        var counts = await Task.WhenAll(Enumerable.Range(1000, clients).Select(async seed =>
        {
            using var client = new ChaosClient(_port, seed);
            var count = 0;
            while (!until.IsCancellationRequested)
            {
                Note(await client.AskAsync("length", "chunked"));
                count++;
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, CancellationToken.None);
            }
            return count;
        }));
        return counts.Sum();
    }

    private void Note(string? wrong)
    {
        if (wrong is not null)
        {
            lock (_wrong)
            {
                _wrong.Add(wrong);
            }
        }
    }

    // Nothing went wrong, at either end or in the program, and nothing is under way any longer.
    private async Task ExpectPeaceAsync()
    {
        _wrong.Should().BeEmpty();
        _backends.SelectMany(backend => backend.Violations).Should().BeEmpty();
        await Eventually.BeTrueAsync(async () => (await BackendsAsync()).All(backend => (int)backend!["inFlight"]! == 0), "no lease leaks");
        _program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
        _program.Output.Should().NotContain(
            line => line.Contains(" error ", StringComparison.Ordinal) || line.Contains("Exception", StringComparison.Ordinal));
    }

    // Threads and what they poll with come into being under load, and stay. Idle connections stay too, so each side lets go of its own.
    private async Task<int> WarmUpAsync()
    {
        using (var over = new CancellationTokenSource())
        {
            var normal = NormalTrafficAsync(16, over.Token);
            await Eventually.BeTrueAsync(() => ChaosClient.Results.Values.Sum() > 500, "it is warm");
            await over.CancelAsync();
            await normal;
        }
        _wrong.Should().BeEmpty();
        foreach (var backend in _backends)
        {
            await backend.ResetConnectionsAsync();
        }
        var (last, since) = (0, 0);
        await Eventually.BeTrueAsync(
            async () =>
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
                (last, since) = _program.OpenFiles.Length is var now && now == last ? (last, since + 1) : (now, 0);
                return since == 10;
            },
            "no file is opened or closed any longer");
        return last;
    }

    private async Task ExpectOpenFilesAsync(int before)
    {
        foreach (var backend in _backends)
        {
            await backend.ResetConnectionsAsync();
        }
        await Eventually.BeTrueAsync(() => _program.OpenFiles.Length <= before, $"no more than {before} files are open, as before");
    }

    private async Task<JsonArray> BackendsAsync()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{_port}/status");
        request.Headers.ConnectionClose = true; // One more open connection would be counted.
        using var response = await _http.SendAsync(request);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync())!["pools"]![0]!["backends"]!.AsArray();
    }
}
