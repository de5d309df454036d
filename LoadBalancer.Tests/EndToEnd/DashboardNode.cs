using System.Text.Json;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The program with a management listener.</summary>
internal sealed class DashboardNode : IAsyncDisposable
{
    private readonly string _file;
    private readonly ProgramUnderTest _program;

    private DashboardNode(string file, string address, string dashboard, ProgramUnderTest program) =>
        (_file, Address, Dashboard, _program) = (file, address, dashboard, program);

    public string Address { get; }

    public string Dashboard { get; }

    public static async Task<DashboardNode> StartAsync(string[] backends, string? token = null)
    {
        var (address, dashboard, file) =
            ($"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}", Path.GetTempFileName());
        var pool = new
        {
            HealthCheck = new { Path = "/" },
            Backends = backends.Index()
            .ToDictionary(entry => $"backend{entry.Index + 1}", entry => new { Address = entry.Item })
        };
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Listeners = new { web = new { Address = address, Pool = "web" } },
                Pools = new { web = pool },
                Management = new { Address = dashboard }
            },
        }));
        return new DashboardNode(file, address, dashboard, await RunAsync(file, token));
    }

    /// <summary>Starts it at the same addresses, after it was stopped.</summary>
    public async Task<DashboardNode> StartAgainAsync(string? token = null) => new(_file, Address, Dashboard, await RunAsync(_file, token));

    /// <summary>Stops it as if it had crashed.</summary>
    public Task KillAsync() => _program.KillAsync();

    public async ValueTask DisposeAsync()
    {
        await _program.DisposeAsync();
        File.Delete(_file);
    }

    private static Task<ProgramUnderTest> RunAsync(string file, string? token) =>
        ProgramUnderTest.StartAsync("LoadBalancer", token is null
        ? ["--config", file] : ["--config", file, $"--LoadBalancer:Management:Token={token}"]);
}
