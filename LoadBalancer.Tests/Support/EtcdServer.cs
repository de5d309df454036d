using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Tests.Support;

/// <summary>An etcd of its own, in a temporary directory; the test that wants it is skipped where the program is not there.</summary>
internal sealed class EtcdServer : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("etcd").FullName;
    private readonly int _port = ReservedPorts.Next();
    private readonly int _peerPort = ReservedPorts.Next();
    private Process? _process;

    private EtcdServer()
    {
    }

    /// <summary>Where it is.</summary>
    public string Address => $"http://127.0.0.1:{_port}";

    /// <summary>Starts one.</summary>
    public static async Task<EtcdServer> StartAsync()
    {
        var paths = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        if (!paths.Any(path => File.Exists(Path.Combine(path, "etcd"))))
        {
            Assert.Ignore("there is no etcd here; on Debian: apt-get install etcd-server");
        }
        var server = new EtcdServer();
        await server.RestartAsync();
        return server;
    }

    /// <summary>Starts it again, with what it knew.</summary>
    public async Task RestartAsync()
    {
        await KillAsync();
        var peer = $"http://127.0.0.1:{_peerPort}";
        var start = new ProcessStartInfo("etcd",
        [
            "--name", "m", "--data-dir", Path.Combine(_folder, "data"), "--listen-client-urls", Address, "--advertise-client-urls", Address,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", $"m={peer}", "--logger", "zap",
            "--log-level", "error",
        ])
        { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = _folder };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, _) => { };
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginOutputReadLine(); // It must not fill up.
        _process.BeginErrorReadLine();
        using var http = new HttpClient();
        await Eventually.BeTrueAsync(() => IsHealthyAsync(http), "etcd answers");
    }

    /// <summary>Ends it at once.</summary>
    public async Task KillAsync()
    {
        if (_process is { } process)
        {
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
            _process = null;
        }
    }

    /// <summary>Forgets all that it knew; to be called while it does not run.</summary>
    public void DeleteData() => Directory.Delete(Path.Combine(_folder, "data"), recursive: true);

    /// <summary>Asks it, as other programs would.</summary>
    public async Task<JsonNode> PostAsync(string path, object body)
    {
        using var http = new HttpClient();
        using var response = await http.PostAsJsonAsync(Address + path, body);
        var text = await response.Content.ReadAsStringAsync();
        response.IsSuccessStatusCode.Should().BeTrue(text);
        return JsonNode.Parse(text)!;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<bool> IsHealthyAsync(HttpClient http)
    {
        try
        {
            return (await http.GetStringAsync(Address + "/health")).Contains("\"true\"", StringComparison.Ordinal);
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
