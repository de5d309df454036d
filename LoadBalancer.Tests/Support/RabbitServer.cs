using System.Diagnostics;
using RabbitMQ.Client;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A RabbitMQ server of the tests' own, on free ports of this machine and with a folder of its own, so that stopping it affects no
/// other server. All tests share one, because it takes seconds to start.
/// </summary>
internal sealed class RabbitServer
{
    private const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server"; // Debian's; not the wrapper around it, which changes user
    private const string NamePort = "/usr/bin/epmd";

    private static readonly TimeSpan Longest = TimeLimits.Of(180); // Its runtime starts slowly where other tests use all cores.
    private static readonly SemaphoreSlim Gate = new(1);
    private static RabbitServer? _shared;

    private readonly string _folder = Directory.CreateTempSubdirectory("rabbit").FullName;
    private readonly int _distributionPort = ReservedPorts.Next();
    private readonly int _namePort = ReservedPorts.Next();
    private Process? _process;

    public int Port { get; } = ReservedPorts.Next();

    public string Uri => $"amqp://guest:guest@127.0.0.1:{Port}";

    /// <summary>The server. The first call starts it. The test is skipped if RabbitMQ is not installed.</summary>
    public static async Task<RabbitServer> GetAsync()
    {
        if (!File.Exists(Program) || !OperatingSystem.IsLinux())
        {
            Assert.Ignore($"there is no RabbitMQ here ({Program}); on Debian: apt-get install rabbitmq-server");
        }
        await Gate.WaitAsync();
        try
        {
            if (_shared is null)
            {
                _shared = new RabbitServer();
                await _shared.StartAsync();
            }
            return _shared;
        }
        finally
        {
            Gate.Release();
        }
    }

    /// <summary>Ends the server, if there is one.</summary>
    public static async Task EndAsync()
    {
        if (_shared is { } server)
        {
            await server.KillAsync();
            using var names = Process.Start(new ProcessStartInfo(
                NamePort, ["-port", $"{server._namePort}", "-kill"])
            { RedirectStandardOutput = true, RedirectStandardError = true })!;
            await names.WaitForExitAsync();
            Directory.Delete(server._folder, recursive: true);
        }
    }

    /// <summary>Starts the server and waits until it serves.</summary>
    public async Task StartAsync()
    {
        var start = new ProcessStartInfo(Program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["HOME"] = _folder,
            ["RABBITMQ_NODENAME"] = $"tests{Port}@localhost",
            ["RABBITMQ_NODE_IP_ADDRESS"] = "127.0.0.1",
            ["RABBITMQ_NODE_PORT"] = $"{Port}",
            ["RABBITMQ_DIST_PORT"] = $"{_distributionPort}",
            ["RABBITMQ_MNESIA_BASE"] = Path.Combine(_folder, "data"),
            ["RABBITMQ_LOG_BASE"] = _folder,
            ["RABBITMQ_LOGS"] = "-",
            ["RABBITMQ_CONFIG_FILE"] = Path.Combine(_folder, "none"),
            ["RABBITMQ_CONF_ENV_FILE"] = Path.Combine(_folder, "none"),
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = Path.Combine(_folder, "plugins"),
            ["RABBITMQ_PID_FILE"] = Path.Combine(_folder, "pid"),
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
            ["ERL_EPMD_PORT"] = $"{_namePort}",
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1}",
        })
        {
            start.Environment[name] = value;
        }
        _process = Process.Start(start)!;
        var lastLines = new Queue<string>();
        _process.ErrorDataReceived += (_, _) => { };
        _process.OutputDataReceived += (_, line) =>
        {
            lock (lastLines)
            {
                lastLines.Enqueue(line.Data ?? "");
                _ = lastLines.Count > 20 && lastLines.TryDequeue(out string? _);
            }
        };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        for (var started = Stopwatch.StartNew(); ; await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System))
        {
            try
            {
                await using var connection = await ConnectAsync();
                return;
            }
            catch (RabbitMQ.Client.Exceptions.BrokerUnreachableException) when (started.Elapsed < Longest && !_process.HasExited)
            {
                // not yet
            }
            catch (RabbitMQ.Client.Exceptions.BrokerUnreachableException)
            {
                lock (lastLines)
                {
                    Assert.Fail($"RabbitMQ does not start: {string.Join('\n', lastLines)}");
                }
            }
        }
    }

    /// <summary>Stops the server, as a service manager does.</summary>
    public async Task StopAsync()
    {
        using var stop = Process.Start("kill", ["-TERM", $"{_process!.Id}"]);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    /// <summary>Kills the server, which gets no chance to say goodbye.</summary>
    public async Task KillAsync()
    {
        _process!.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    /// <summary>A connection to it.</summary>
    public Task<IConnection> ConnectAsync() =>
        new ConnectionFactory { Uri = new Uri(Uri), AutomaticRecoveryEnabled = false }.CreateConnectionAsync();
}
