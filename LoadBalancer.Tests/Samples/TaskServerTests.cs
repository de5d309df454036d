using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Samples;

/// <summary>The task-server system of samples/, with its real programs and two servers that share a file.</summary>
[Category("Program")]
internal sealed class TaskServerTests
{
    private const string Sample = "samples/task-server/";

    private readonly HttpClient _client = new() { Timeout = TimeLimits.Event };
    private readonly string _folder = Directory.CreateTempSubdirectory("tasks").FullName;
    private readonly int[] _ports = [ReservedPorts.Next(), ReservedPorts.Next()];
    private ProgramUnderTest[] _servers = [];

    private string TaskFile => Path.Combine(_folder, "tasks.json");

    [OneTimeSetUp]
    public async Task StartServers() => _servers = await Task.WhenAll(StartServerAsync(0), StartServerAsync(1));

    [OneTimeTearDown]
    public async Task StopServers()
    {
        foreach (var server in _servers)
        {
            await server.DisposeAsync();
        }
        _client.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [SetUp]
    public void Forget() => File.Delete(TaskFile);

    [Test]
    public async Task Post_ManyAtOnceToBothServers_EveryIdIsUniqueAndEveryTaskIsThere()
    {
        var stored = await Task.WhenAll(
            Enumerable.Range(0, 240).Select(async i => (Id: await AddAsync(i % 2, $"task {i}"), Titulo: $"task {i}")));

        stored.Select(task => task.Id).Order().Should().Equal(Enumerable.Range(1, 240).Select(id => (long?)id));
        foreach (var port in _ports)
        {
            (await TasksAsync($"http://127.0.0.1:{port}/tareas"))
                .Should().BeEquivalentTo(stored.ToDictionary(task => task.Id!.Value, task => task.Titulo));
        }
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Post_ServerIsKilledAgainAndAgain_FileIsWholeAndWhatWasAcknowledgedIsThere()
    {
        // Big enough for a write to take longer than everything else.
        var items = Enumerable.Range(1, 3000).Select(id => $$"""{"id":{{id}},"titulo":"old"}""");
        await File.WriteAllTextAsync(TaskFile, $"[{string.Join(',', items)}]");
        var acknowledged = new ConcurrentDictionary<long, string>();
        using var enough = new CancellationTokenSource();
        var clients = Enumerable.Range(0, 16).Select(async client =>
        {
            for (var i = 0; !enough.IsCancellationRequested; i++)
            {
                if (await AddAsync(client % 2, $"{client}, {i}") is { } id)
                {
                    acknowledged.TryAdd(id, $"{client}, {i}").Should().BeTrue("no id is given twice");
                }
                else
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System); // its server is dead
                }
            }
        }).ToArray();

        for (var round = 0; round < 4; round++)
        {
            var victim = round % 2;
            var before = acknowledged.Count;
            await Eventually.BeTrueAsync(() => acknowledged.Count > before + 20 + (round * 7), "both servers write");
            await _servers[victim].KillAsync();
            (await TasksAsync(TaskFile)).Should().HaveCountGreaterThanOrEqualTo(3000);
            before = acknowledged.Count;
            await Eventually.BeTrueAsync(() => acknowledged.Count > before + 20, "a lock dies with its owner");
            await _servers[victim].DisposeAsync();
            _servers[victim] = await StartServerAsync(victim);
        }
        await enough.CancelAsync();
        await Task.WhenAll(clients);

        var tasks = await TasksAsync(TaskFile);
        tasks.Values.Count(titulo => titulo == "old").Should().Be(3000);
        acknowledged.Where(task => tasks.GetValueOrDefault(task.Key) != task.Value).Should().BeEmpty();
    }

    [Test]
    public async Task Requests_OfEveryKind_AreAnsweredAsTheReadmeSays()
    {
        (await SendAsync("GET", "/tareas")).Should().Be((200, "[]"));
        (await SendAsync("POST", "/tareas", """{"titulo":"mañana","hora":9,"id":7}"""))
            .Should().Be((201, """{"id":1,"titulo":"mañana","hora":9}"""));
        (await SendAsync("GET", "/tareas")).Should().Be((200, """[{"id":1,"titulo":"mañana","hora":9}]"""));
        (await SendAsync("GET", "/tareas/1")).Should().Be((200, """{"id":1,"titulo":"mañana","hora":9}"""));
        (await SendAsync("HEAD", "/tareas/1")).Should().Be((200, ""));
        (await SendAsync("GET", "/health")).Should().Be((200, """{"status":"ok"}"""));
        (await SendAsync("GET", "/tareas/2")).Should().Be((404, """{"error":"there is no task 2"}"""));
        (await SendAsync("GET", "/tareas/x")).Should().Be((404, """{"error":"Not Found"}"""));
        (await SendAsync("GET", "/tareas/99999999999999999999")).Should().Be((404, """{"error":"Not Found"}"""));
        (await SendAsync("GET", "/nowhere")).Should().Be((404, """{"error":"Not Found"}"""));
        (await SendAsync("DELETE", "/tareas/1")).Should().Be((405, """{"error":"Method Not Allowed"}"""));
        (await SendAsync("POST", "/tareas", $$"""{"titulo":"{{new string('x', 70_000)}}"}""")).Status.Should().Be(413);
    }

    [TestCase("")]
    [TestCase("{")]
    [TestCase("null")]
    [TestCase("[]")]
    [TestCase("""{"titulo":1}""")]
    [TestCase("""{"titulo":null}""")]
    [TestCase("""{"titulo":" "}""")]
    [TestCase("""{"name":"x"}""")]
    [TestCase("""{"titulo":"x","titulo":"y"}""")]
    [TestCase("""{"titulo":"x","y":"\ud800"}""")]
    public async Task Post_WhatIsNoTask_Is400AndStoresNothing(string body)
    {
        (await SendAsync("POST", "/tareas", body)).Should().Be((400, """{"error":"expected a JSON object with a text \"titulo\""}"""));
        (await SendAsync("GET", "/tareas")).Should().Be((200, "[]"));
    }

    [Test]
    public async Task Post_NestedTooDeepForTheFile_IsRefused([Values(62, 63, 64)] int depth)
    {
        var (status, _) = await SendAsync(
            "POST", "/tareas", $$"""{"titulo":"x","y":{{new string('[', depth)}}{{new string(']', depth)}}}""");

        status.Should().Be(depth == 62 ? 201 : 400);
        (await SendAsync("GET", "/tareas")).Status.Should().Be(200);
    }

    [Test]
    public async Task Requests_FileIsNoListOfTasks_Are500UntilItIs([Values("", "null", "[null]", "[{}]", "[")] string content)
    {
        await File.WriteAllTextAsync(TaskFile, content);

        (await SendAsync("GET", "/tareas")).Should().Be((500, """{"error":"Internal Server Error"}"""));
        (await SendAsync("POST", "/tareas", """{"titulo":"x"}""")).Should().Be((500, """{"error":"Internal Server Error"}"""));
        (await File.ReadAllTextAsync(TaskFile)).Should().Be(content, "a damaged file is kept because it may be repaired");

        File.Delete(TaskFile);
        (await SendAsync("POST", "/tareas", """{"titulo":"x"}""")).Status.Should().Be(201);
    }

    [Test]
    public async Task ErrorStatistics_AfterErrors_CountThemAllAndNameTheLast20()
    {
        var before = JsonNode.Parse((await SendAsync("GET", "/errors/stats")).Body)!;
        for (var i = 0; i < 25; i++)
        {
            await SendAsync("GET", "/nowhere%0A");
        }
        await SendAsync("POST", "/tareas", "{}");

        var after = JsonNode.Parse((await SendAsync("GET", "/errors/stats")).Body)!;
        ((long)after["total_errors"]!).Should().Be((long)before["total_errors"]! + 26);
        ((long)after["error_types"]!["404_NOT_FOUND"]!).Should().Be(((long?)before["error_types"]!["404_NOT_FOUND"] ?? 0) + 25);
        var recent = after["recent_errors"]!.AsArray();
        recent.Should().HaveCount(20);
        ((string?)recent[0]!["msg"]).Should().Be("GET /nowhere%0A: Not Found");
        ((string?)recent[^1]!["type"]).Should().Be("400_BAD_REQUEST");
        ((string?)recent[^1]!["msg"]).Should().Be("POST /tareas: expected a JSON object with a text \"titulo\"");
        ((string?)recent[^1]!["timestamp"]).Should().MatchRegex(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$");
    }

    [Test]
    public async Task ClientEmulator_ThroughTheLoadBalancer_FindsEverythingAsItIsToBe()
    {
        var port = ReservedPorts.Next();
        await using var balancer = await ProgramUnderTest.StartAsync(
            "LoadBalancer", "--config", Configuration(), $"--LoadBalancer:Listeners:web:Address=http://127.0.0.1:{port}",
            $"--LoadBalancer:Pools:web:Backends:server1:Address=http://127.0.0.1:{_ports[0]}",
                $"--LoadBalancer:Pools:web:Backends:server2:Address=http://127.0.0.1:{_ports[1]}");

        var (exitCode, output, errors) = await ProgramUnderTest.RunAsync(
            Sample + "ClientEmulator", "--name", "client1", "--url", $"http://127.0.0.1:{port}", "--requests", "200", "--concurrency",
                "20");

        (exitCode, errors).Should().Be((0, ""));
        output.Should().StartWith(
            $"client1: 200 requests to http://127.0.0.1:{port}, 20 at a time\n  rate ", "there is no progress line in a pipe")
            .And.ContainAll(
                "100.0 % answered as expected", "p50 ", "p95 ", "p99 ", "answers     200: 80, 201: 80, 400: 20, 404: 20",
                "forced      400: 20 of 20, 404: 20 of 20",
                "unexpected  none", "tasks       80 stored, every one is there");
    }

    [Test]
    public async Task ClientEmulator_NobodyThere_SaysSo()
    {
        var port = ReservedPorts.Next();

        var (exitCode, output, errors) =
            await ProgramUnderTest.RunAsync(Sample + "ClientEmulator", "--url", $"http://127.0.0.1:{port}", "--wait", "1");

        (exitCode, output).Should().Be((1, ""));
        errors.Should().StartWith($"client: nobody serves at http://127.0.0.1:{port} after 1 s: ");
    }

    [Test]
    public async Task Start_PortTaken_IsOneLine() =>
        (await ProgramUnderTest.RunAsync(Sample + "TaskServer", Arguments(0)))
        .Should().Be((1, "", $"Failed to bind to address http://127.0.0.1:{_ports[0]}: address already in use."));

    [Test]
    public async Task Check_ConfigurationOfTheSample_IsValid() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", Configuration()))
        .Should().Be((0, "configuration is valid", ""));

    private static string Configuration() =>
        Path.Combine(AppContext.BaseDirectory.Split("LoadBalancer.Tests")[0], Sample, "loadbalancer.json");

    private string[] Arguments(int server) => ["--urls", $"http://127.0.0.1:{_ports[server]}", "--tasks", TaskFile];

    private Task<ProgramUnderTest> StartServerAsync(int server) => ProgramUnderTest.StartAsync(Sample + "TaskServer", Arguments(server));

    private async Task<(int Status, string Body)> SendAsync(string method, string target, string? body = null)
    {
        using var request = new HttpRequestMessage(
            new HttpMethod(method), $"http://127.0.0.1:{_ports[0]}{target}")
        { Content = body is null ? null : new StringContent(body) };
        using var response = await _client.SendAsync(request);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    // The id of the new task, or null where the server broke off.
    private async Task<long?> AddAsync(int server, string titulo)
    {
        try
        {
            using var response = await _client.PostAsJsonAsync($"http://127.0.0.1:{_ports[server]}/tareas", new { titulo });
            response.StatusCode.Should().Be(HttpStatusCode.Created);
            return (long)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["id"]!;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    // From a server, or as the file has them at this moment.
    private async Task<Dictionary<long, string>> TasksAsync(string source)
    {
        var json = source.StartsWith("http", StringComparison.Ordinal)
            ? await _client.GetStringAsync(source) : await File.ReadAllTextAsync(source);
        return JsonNode.Parse(json)!.AsArray().ToDictionary(task => (long)task!["id"]!, task => (string)task!["titulo"]!);
    }
}
