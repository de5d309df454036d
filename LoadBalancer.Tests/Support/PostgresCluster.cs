using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A PostgreSQL server of its own, in a temporary folder; the test that wants it is left out where the programs are not there.
/// </summary>
internal sealed class PostgresCluster : IAsyncDisposable
{
    private readonly string _programs;
    private readonly string _folder;

    private PostgresCluster(string programs, string folder, string connectionString) =>
        (_programs, _folder, ConnectionString) = (programs, folder, connectionString);

    public string ConnectionString { get; }

    /// <summary>Starts it, or ignores the test.</summary>
    public static async Task<PostgresCluster> StartAsync()
    {
        const string Installed = "/usr/lib/postgresql";
        var programs = Directory.Exists(Installed)
            ? Directory.GetDirectories(Installed).Order().Select(version => Path.Combine(version, "bin"))
            .LastOrDefault(bin => File.Exists(Path.Combine(bin, "initdb"))) : null;
        if (programs is null)
        {
            Assert.Ignore("there is no PostgreSQL here; install Debian's package postgresql");
        }
        var folder = Directory.CreateTempSubdirectory("postgres").FullName;
        if (Environment.IsPrivilegedProcess)
        {
            // PostgreSQL refuses to run as root; its package has made a user for it.
            if (await RunAsync("chown", "postgres", folder) != 0)
            {
                Directory.Delete(folder);
                Assert.Ignore("PostgreSQL does not run as root, and there is no user postgres");
            }
        }
        var port = ReservedPorts.Next();
        var cluster = new PostgresCluster(programs!, folder, $"Host=127.0.0.1;Port={port};Username=postgres;Database=postgres");
        (await cluster.RunProgramAsync("initdb", "--pgdata", cluster.Data, "--username", "postgres", "--auth", "trust", "--no-sync"))
            .Should().Be(0);
        (await cluster.RunProgramAsync("pg_ctl", "start", "--wait", "--pgdata", cluster.Data, "--log", Path.Combine(folder, "log"),
            "--options", $"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off")).Should().Be(0);
        return cluster;
    }

    public async ValueTask DisposeAsync()
    {
        await RunProgramAsync("pg_ctl", "stop", "--mode", "immediate", "--wait", "--pgdata", Data);
        Directory.Delete(_folder, recursive: true);
    }

    private string Data => Path.Combine(_folder, "data");

    private Task<int> RunProgramAsync(string program, params string[] args)
    {
        var path = Path.Combine(_programs, program);
        return Environment.IsPrivilegedProcess ? RunAsync("runuser", ["-u", "postgres", "--", path, .. args]) : RunAsync(path, args);
    }

    // Its output goes nowhere: what it starts would keep a pipe open.
    private static async Task<int> RunAsync(string program, params string[] args)
    {
        using var process = Process.Start(new ProcessStartInfo(
            "sh", ["-c", "exec \"$0\" \"$@\" > /dev/null 2>&1 < /dev/null", program, .. args])
        { WorkingDirectory = "/" })!;
        await process.WaitForExitAsync();
        return process.ExitCode;
    }
}
