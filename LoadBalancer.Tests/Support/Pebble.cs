using System.Diagnostics;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// The reference test server of ACME, pebble, as Debian has it, with faults: it refuses a fifth of all nonces, looks at names only after a
/// while, and forgets authorizations. Its own DNS server says that every name is this machine.
/// </summary>
internal sealed class Pebble : IAsyncDisposable
{
    private const string Program = "/usr/bin/pebble"; // Debian's
    private const string Names = "/usr/bin/pebble-challtestsrv";

    private readonly TestCertificates _certificates = new();
    private readonly Process _names;
    private readonly Process _server;
    private readonly int _port = ReservedPorts.Next();
    private readonly int _management = ReservedPorts.Next();
    private int _orders;

    private Pebble(int httpPort)
    {
        var (dns, control) = (ReservedPorts.Next(), ReservedPorts.Next());
        _names = Start(
            Names, [], _ => { }, "-dns01", $"127.0.0.1:{dns}", "-management", $"127.0.0.1:{control}", "-http01", "", "-https01", "",
            "-tlsalpn01", "", "-defaultIPv6", "");
        var own = _certificates.Issue("pebble", "localhost", "127.0.0.1");
        var configuration = new JsonObject
        {
            ["pebble"] = new JsonObject
            {
                ["listenAddress"] = $"127.0.0.1:{_port}",
                ["managementListenAddress"] = $"127.0.0.1:{_management}",
                ["certificate"] = own.File,
                ["privateKey"] = own.KeyFile,
                ["httpPort"] = httpPort,
                ["tlsPort"] = ReservedPorts.Next(),
                ["certificateValidityPeriod"] = (long)TimeSpan.FromDays(90).TotalSeconds,
            },
        };
        _server = Start(
            Program,
            new()
            {
                ["PEBBLE_WFE_NONCEREJECT"] = "20",
                ["PEBBLE_VA_SLEEPTIME"] = "1",
                ["PEBBLE_AUTHZREUSE"] = "0",
                ["PEBBLE_CHAIN_LENGTH"] = "2",
            },
            line => Interlocked.Add(ref _orders, line.Contains("Added order", StringComparison.Ordinal) ? 1 : 0),
            "-strict", "-config", _certificates.Write("pebble.json", configuration.ToJsonString()), "-dnsserver", $"127.0.0.1:{dns}");
    }

    /// <summary>The address of its directory.</summary>
    public string Directory => $"https://127.0.0.1:{_port}/dir";

    /// <summary>How many orders it has taken.</summary>
    public int Orders => Volatile.Read(ref _orders);

    /// <summary>The authority that its own certificate is of.</summary>
    public string AuthorityFile => _certificates.AuthorityFile;

    /// <summary>The root of the certificates that it issues.</summary>
    public X509Certificate2 Root { get; private set; } = null!;

    /// <summary>Starts it. The test is skipped if it is not installed.</summary>
    /// <param name="httpPort">The port that it asks instead of 80.</param>
    public static async Task<Pebble> StartAsync(int httpPort)
    {
        if (!File.Exists(Program) || !OperatingSystem.IsLinux())
        {
            Assert.Ignore($"there is no pebble here ({Program}); on Debian: apt-get install pebble");
        }
        var pebble = new Pebble(httpPort);
        using var client = new HttpClient(TestNode.NewHandler());
        await Eventually.BeTrueAsync(() => pebble.TryReadRootAsync(client), "pebble answers");
        return pebble;
    }

    /// <summary>Ends it at once, as a crash does.</summary>
    public async Task KillAsync()
    {
        if (!_server.HasExited)
        {
            _server.Kill();
            await _server.WaitForExitAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _names.Kill();
        await _names.WaitForExitAsync();
        _server.Dispose();
        _names.Dispose();
        _certificates.Dispose();
        Root?.Dispose();
    }

    private async Task<bool> TryReadRootAsync(HttpClient client)
    {
        try
        {
            Root = X509Certificate2.CreateFromPem(await client.GetStringAsync($"https://127.0.0.1:{_management}/roots/0"));
            return (await client.GetAsync(Directory)).IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static Process Start(
        string program, Dictionary<string, string> environment, Action<string> read, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => read(line.Data ?? "");
        process.ErrorDataReceived += (_, line) => read(line.Data ?? "");
        process.BeginOutputReadLine(); // It must not fill up.
        process.BeginErrorReadLine();
        return process;
    }
}
