using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Samples;

/// <summary>The store of samples/, with its real programs.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Category("Program")]
internal sealed class StoreTests : IAsyncDisposable
{
    private const string Worker = "samples/store/StoreWorker";
    private const string Client = "samples/store/StoreClient";

    private readonly string _folder = Directory.CreateTempSubdirectory("store").FullName;
    private readonly List<ProgramUnderTest> _programs = [];

    // Shifts all six ports; a second node has the same ports at another address.
    private readonly int _offset = StorePorts.NextOffset();

    public async ValueTask DisposeAsync()
    {
        foreach (var program in _programs)
        {
            await program.DisposeAsync();
        }
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public async Task Buy_HundredBuyersOfTheLastTen_TenBuy()
    {
        await StartNodeAsync("127.0.0.1");
        await StartWorkersAsync(3, "--database", Path.Combine(_folder, "store.db"), "--stock", "10");

        await BuyTheLastTenAsync();
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Buy_HundredBuyersOfTheLastTenInPostgres_TenBuy()
    {
        await using var postgres = await PostgresCluster.StartAsync();
        await StartNodeAsync("127.0.0.1");
        await StartWorkersAsync(3, "--postgres", postgres.ConnectionString, "--stock", "10");

        await BuyTheLastTenAsync();
    }

    [Test]
    public async Task Commands_OfEveryKind_AreAnsweredAsTheMenuSays()
    {
        await StartNodeAsync("127.0.0.1");
        await StartWorkersAsync(1, "--database", Path.Combine(_folder, "store.db"), "--stock", "1");

        (await AskAsync("PING")).Should().Be("PONG");
        (await AskAsync("LIST")).Should().StartWith("1 Lamp: 1 left\n2 Chair: 1 left");
        (await AskAsync("QUERY 3")).Should().Be("3 Notebook, 3.50, 1 left: 80 pages, squared");
        (await AskAsync("QUERY 99")).Should().Be("NO SUCH PRODUCT");
        (await AskAsync("BUY 3")).Should().Be("BOUGHT 3 Notebook, 0 left");
        (await AskAsync("BUY 3")).Should().Be("SOLD OUT");
        (await AskAsync("BUY 99")).Should().Be("NO SUCH PRODUCT");
        (await AskAsync("BUY 1; DROP TABLE products")).Should().Be("UNKNOWN COMMAND");
        (await AskAsync("BUY x")).Should().Be("NO SUCH PRODUCT");
        (await AskAsync("FLY")).Should().Be("UNKNOWN COMMAND");
    }

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task MainIsKilled_ClientsUnderWay_NoneGivesUp()
    {
        using var management = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{ReservedPorts.Next()}") };
        var main = await StartNodeAsync("127.0.0.1", "--LoadBalancer:Listeners:store:AlternativeAddress=127.0.0.2",
            $"--LoadBalancer:Management:Address={management.BaseAddress}");
        var alternative = await StartNodeAsync(
            "127.0.0.2", "--LoadBalancer:Listeners:store:Role=Alternative", "--LoadBalancer:Listeners:store:MainAddress=127.0.0.1");
        await SaysAsync(main, "127.0.0.2 is the alternative");
        await StartWorkersAsync(3, "--database", Path.Combine(_folder, "store.db"), "--peer-timeout", "1");
        var client = Start(
            Client, "--port-offset", $"{_offset}", "--peer-timeout", "1", "--test", "400", "--clients", "4", "--pause", "0.05");
        await Eventually.BeTrueAsync(() =>
            main.Output.Count(line => line.Contains("has joined", StringComparison.Ordinal)) == 3, "the workers join");
        await Eventually.BeTrueAsync(async () =>
            (await WorkersAsync(management)).Sum(worker => (int)worker!["requests"]!) > 20, "clients are under way");
        await HealthChecksAsync(5); // Everybody has heard who the alternative is, and clients are in the middle of it.

        await main.KillAsync();

        (await client.EndAsync()).Should().Be(0, string.Join('\n', client.Output));
        client.Output.Should().Contain(line => line.Contains("going to 127.0.0.2", StringComparison.Ordinal))
            .And.Contain(line =>
            line.StartsWith("400 answers", StringComparison.Ordinal) && line.Contains("0 wrong, 0 given up", StringComparison.Ordinal));

        (await alternative.TerminateAsync()).Should().Be(0);
    }

    [Test]
    public async Task WorkerStandsStill_ClientAsksAgain()
    {
        using var management = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{ReservedPorts.Next()}") };
        await StartNodeAsync("127.0.0.1", $"--LoadBalancer:Management:Address={management.BaseAddress}");
        await StartWorkersAsync(1, "--database", Path.Combine(_folder, "store.db"));
        await Eventually.BeTrueAsync(async () => (await WorkersAsync(management)).Count == 1, "the worker joins");
        var good = (string)(await WorkersAsync(management)).Single()!["name"]!;
        await SetStateAsync("Disabled");
        await using var stuck = new ReplySocket();
        stuck.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 5560 + _offset));
        var client = Start(
            Client, "--port-offset", $"{_offset}", "--worker-timeout", "1", "--test", "1", "--clients", "1", "--command", "BUY 1");
        await stuck.ReceiveAsync();
        await SetStateAsync("Ready");

        (await client.EndAsync()).Should().Be(0, string.Join('\n', client.Output));

        client.Output.Should().Contain("BUY 1: no sign of life for 1 s: sending it again");

        async Task SetStateAsync(string state)
        {
            using var response = await management.PatchAsync(
                $"/api/pools/store/backends/{good}", new StringContent($$"""{"adminState":"{{state}}"}"""));
            response.IsSuccessStatusCode.Should().BeTrue(await response.Content.ReadAsStringAsync());
        }
    }

    private static async Task<JsonArray> WorkersAsync(HttpClient management) =>
        JsonNode.Parse(await management.GetStringAsync("/api/pools"))!["pools"]![0]!["backends"]!.AsArray();

    private async Task HealthChecksAsync(int count)
    {
        await using var health = new SubscribeSocket();
        health.Subscribe("HCHECK");
        health.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 5570 + _offset));
        for (var i = 0; i < count; i++)
        {
            (await health.ReceiveAsync()).ToString().Should().Be("HCHECK 127.0.0.2");
        }
    }

    private async Task BuyTheLastTenAsync()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => AskAsync("BUY 1")));

        answers.Count(answer => answer.StartsWith("BOUGHT", StringComparison.Ordinal)).Should().Be(10);
        answers.Count(answer => answer == "SOLD OUT").Should().Be(90);
        (await AskAsync("QUERY 1")).Should().Contain(", 0 left");
    }

    private async Task<string> AskAsync(string command)
    {
        var id = Guid.NewGuid().ToString();
        await using var client = new RequestSocket { Identity = Encoding.ASCII.GetBytes(id) };
        client.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 5550 + _offset));
        using var patience = new CancellationTokenSource(TimeLimits.Event);
        return (await client.RequestAsync(ZmtpMessage.Of(id, command), patience.Token)).ToString();
    }

    private ProgramUnderTest Start(string name, params string[] args)
    {
        var program = ProgramUnderTest.Start(name, args);
        _programs.Add(program);
        return program;
    }

    private async Task StartWorkersAsync(int count, params string[] args)
    {
        var workers = Enumerable.Range(0, count).Select(_ => Start(Worker, ["--port-offset", $"{_offset}", .. args])).ToList();
        foreach (var worker in workers)
        {
            await SaysAsync(worker, "works for");
        }
    }

    private async Task<ProgramUnderTest> StartNodeAsync(string host, params string[] settings)
    {
        var file = Path.Combine(_folder, $"{Guid.NewGuid():n}.json");
        await File.WriteAllTextAsync(file, $$"""
            { "LoadBalancer": {
                "Listeners": { "store": { "Protocol": "Broker", "Address": "tcp://{{host}}", "Pool": "store",
                  "PublishInterval": "00:00:00.100", "PeerTimeout": "00:00:01",
                  "Ports": { "Clients": {{5550 + _offset}}, "Workers": {{5560 + _offset}},
                             "HealthCheck": {{5570 + _offset}}, "AlternativePing": {{5571 + _offset}},
                             "WorkerCheckClients": {{5572 + _offset}}, "WorkerCheckWorkers": {{5573 + _offset}} } } },
                "Pools": { "store": {} } } }
            """);
        var node = await ProgramUnderTest.StartAsync("LoadBalancer", ["--config", file, .. settings]);
        _programs.Add(node);
        return node;
    }

    private static Task SaysAsync(ProgramUnderTest program, string text) => Eventually.BeTrueAsync(
        () => program.Output.Any(line => line.Contains(text, StringComparison.Ordinal)),
            $"it says '{text}', not {string.Join('\n', program.Output.Concat(program.Errors))}");
}
