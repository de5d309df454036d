using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.EndToEnd;

namespace LoadBalancer.Tests.Support;

/// <summary>An etcd of its own, in a temporary directory; the test that wants it is skipped where the program is not there.</summary>
internal sealed class EtcdServer : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("etcd").FullName;
    private readonly int _port = ReservedPorts.Next();
    private readonly string _peers; // where it listens for other members
    private readonly string _name;
    private readonly string _advertised; // where other members find it
    private readonly string _members;
    private readonly CertificateOptions? _certificate;
    private Process? _process;

    /// <summary>A member of an etcd; it is not started yet.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="peers">Where it listens for other members.</param>
    /// <param name="advertised">Where other members find it.</param>
    /// <param name="members">All members: <c>name=address,…</c>.</param>
    /// <param name="certificate">Its certificate for clients; null for no TLS.</param>
    public EtcdServer(string name, string peers, string advertised, string members, CertificateOptions? certificate = null) =>
        (_name, _peers, _advertised, _members, _certificate) = (name, peers, advertised, members, certificate);

    /// <summary>Where it is.</summary>
    public string Address => $"{(_certificate is null ? "http" : "https")}://127.0.0.1:{_port}";

    /// <summary>Starts one that is alone.</summary>
    /// <param name="certificate">Its certificate; null for no TLS.</param>
    public static async Task<EtcdServer> StartAsync(CertificateOptions? certificate = null)
    {
        RequireProgram();
        var peers = $"http://127.0.0.1:{ReservedPorts.Next()}";
        var server = new EtcdServer("m", peers, peers, $"m={peers}", certificate);
        await server.RestartAsync();
        return server;
    }

    /// <summary>Skips the test where the program is not there.</summary>
    public static void RequireProgram()
    {
        var paths = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        if (!paths.Any(path => File.Exists(Path.Combine(path, "etcd"))))
        {
            Assert.Ignore("there is no etcd here; on Debian: apt-get install etcd-server");
        }
    }

    /// <summary>Starts it again, with what it knew.</summary>
    public async Task RestartAsync()
    {
        await KillAsync();
        Launch();
        await HealthyAsync();
    }

    /// <summary>Starts it, and does not wait.</summary>
    public void Launch()
    {
        var start = new ProcessStartInfo("etcd",
        [
            "--name", _name, "--data-dir", Path.Combine(_folder, "data"), "--listen-client-urls", Address,
            "--advertise-client-urls", Address, "--listen-peer-urls", _peers, "--initial-advertise-peer-urls", _advertised,
            "--initial-cluster", _members, "--logger", "zap", "--log-level", "error",
            .. _certificate is null ? (string[])[] : ["--cert-file", _certificate.File!, "--key-file", _certificate.KeyFile!],
        ])
        { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = _folder };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, _) => { };
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginOutputReadLine(); // It must not fill up.
        _process.BeginErrorReadLine();
    }

    /// <summary>Waits until it serves.</summary>
    public async Task HealthyAsync()
    {
        using var http = NewClient();
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

    /// <summary>Sends it a signal.</summary>
    public void Signal(int number) => ProgramUnderTest.Signal(_process!.Id, number);

    /// <summary>Forgets all that it knew; to be called while it does not run.</summary>
    public void DeleteData() => Directory.Delete(Path.Combine(_folder, "data"), recursive: true);

    /// <summary>Asks it, as other programs would.</summary>
    /// <param name="path">What is called.</param>
    /// <param name="body">What is asked.</param>
    /// <param name="token">Says who asks; null where that does not matter.</param>
    public async Task<JsonNode> PostAsync(string path, object body, string? token = null)
    {
        using var http = NewClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, Address + path) { Content = JsonContent.Create(body) };
        if (token is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", token);
        }
        using var response = await http.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        response.IsSuccessStatusCode.Should().BeTrue(text);
        return JsonNode.Parse(text)!;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private static HttpClient NewClient() => new(new HttpClientHandler
    {
        ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator,
    });

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
