using System.Diagnostics;
using System.Text.Json.Nodes;

namespace LoadBalancer.Tests.Support;

/// <summary>A real Prometheus on a free port of 127.0.0.1, which reads the metrics of one node each second.</summary>
internal sealed class PrometheusServer : IAsyncDisposable
{
    private readonly TemporaryDirectory _files = new();
    private readonly Process _process;
    private readonly HttpClient _client;

    private PrometheusServer(string program, string target, string rules)
    {
        var port = ReservedPorts.Next();
        _client = new HttpClient(TestNode.NewHandler()) { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        var configuration = new JsonObject // YAML has JSON in it.
        {
            ["global"] = new JsonObject { ["scrape_interval"] = "1s", ["evaluation_interval"] = "1s" },
            ["rule_files"] = new JsonArray(rules),
            ["scrape_configs"] = new JsonArray(new JsonObject
            {
                ["job_name"] = "loadbalancer",
                ["static_configs"] = new JsonArray(new JsonObject { ["targets"] = new JsonArray(target) }),
            }),
        };
        File.WriteAllText(_files.File("prometheus.yml"), configuration.ToJsonString());
        _process = Process.Start(new ProcessStartInfo(
            program,
            [
                $"--config.file={_files.File("prometheus.yml")}", $"--storage.tsdb.path={_files.File("data")}",
                $"--web.listen-address=127.0.0.1:{port}",
            ])
        { RedirectStandardError = true })!;
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine(); // It must not fill up.
    }

    /// <summary>Starts it. The test is skipped if it is not installed.</summary>
    /// <param name="target">Where the node's management listener is: host and port.</param>
    /// <param name="rules">A file of alert rules.</param>
    public static async Task<PrometheusServer> StartAsync(string target, string rules)
    {
        var server = new PrometheusServer(InstalledProgram.Find("prometheus", "prometheus"), target, rules);
        await Eventually.BeTrueAsync(server.IsReadyAsync, "Prometheus is ready");
        return server;
    }

    /// <summary>What its API answers. What it does not understand is an error that says why.</summary>
    /// <param name="path">For example <c>query?query=up</c>.</param>
    public async Task<JsonNode> GetAsync(string path)
    {
        using var response = await _client.GetAsync($"/api/v1/{path}");
        var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        $"{answer["status"]}{answer["error"]}".Should().Be("success", path);
        return answer["data"]!;
    }

    /// <summary>The values that an expression has now; of some, not a number.</summary>
    public async Task<List<string>> QueryAsync(string expression)
    {
        var data = await GetAsync($"query?query={Uri.EscapeDataString(expression)}");
        return [.. data["result"]!.AsArray().Select(sample => (string)sample!["value"]![1]!)];
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _client.Dispose();
        _files.Dispose();
    }

    private async Task<bool> IsReadyAsync()
    {
        _process.HasExited.Should().BeFalse("Prometheus runs");
        try
        {
            return (await _client.GetAsync("/-/ready")).IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false; // not yet
        }
    }
}
