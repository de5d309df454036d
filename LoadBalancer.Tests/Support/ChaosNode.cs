using System.Globalization;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.EndToEnd;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A node of a cluster as a process that is killed, stopped and started again, always at the same ports. Its link to etcd can be cut.
/// </summary>
internal sealed class ChaosNode : IAsyncDisposable
{
    private const int SigStop = 19;
    private const int SigContinue = 18;
    private const int SigKill = 9;

    private readonly string _file;
    private readonly List<ProgramUnderTest> _all = []; // those that have ended too: what they have logged counts
    private ProgramUnderTest _program = null!; // that was started last; the output of those that replace it comes through it
    private int _process; // that serves
    private int _epoch;

    /// <summary>Makes it; it is not started yet.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="etcd">Where etcd is.</param>
    /// <param name="directory">Where its files are.</param>
    /// <param name="pools">The value of <c>Pools</c>.</param>
    /// <param name="tasks">The queue of its tasks, as JSON; null for none.</param>
    public ChaosNode(string name, EtcdServer etcd, TemporaryDirectory directory, string pools, string? tasks)
    {
        Name = name;
        Etcd = new SilentRelay(new Uri(etcd.Address).Port);
        _file = directory.File($"{name}.json");
        var listener = tasks is null ? "" : $$"""
            "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{Tasks}}", "WorkerAddress": "tcp://127.0.0.1:{{TaskWorkers}}",
                "Pool": "tasks", "MaxAttempts": 1000, "Queue": {{tasks}} },
            """;
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "ShutdownTimeout": "5s",
                "Cluster": { "Name": "edge", "Node": "{{name}}", "Etcd": [ "http://127.0.0.1:{{Etcd.Port}}" ], "LeaseTime": "2s",
                    "StateDirectory": "{{directory.File("state")}}" },
                "Listeners": { {{listener}}
                    "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
                        "Ports": {{StorePorts.JsonFrom(Broker)}} },
                    "web": { "Address": "http://127.0.0.1:{{Web}}", "Pool": "web" } },
                "Pools": {{pools}},
                "Management": { "Address": "http://127.0.0.1:{{Management}}" } } }
            """);
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>Its link to etcd.</summary>
    public SilentRelay Etcd { get; }

    /// <summary>The port of HTTP clients.</summary>
    public int Web { get; } = ReservedPorts.Next();

    /// <summary>The port of operators.</summary>
    public int Management { get; } = ReservedPorts.Next();

    /// <summary>The port of ZeroMQ clients; that of workers is the next one.</summary>
    public int Broker { get; } = ReservedPorts.Next(6);

    /// <summary>The port of clients with tasks.</summary>
    public int Tasks { get; } = ReservedPorts.Next();

    /// <summary>The port of workers for tasks.</summary>
    public int TaskWorkers { get; } = ReservedPorts.Next();

    /// <summary>Odd while it serves; another number after each end of the process. A stopped one serves: it is only slow.</summary>
    public int Epoch => Volatile.Read(ref _epoch);

    /// <summary>Whether it serves.</summary>
    public bool IsLiving => Epoch % 2 == 1;

    /// <summary>When it has become the main, by its log.</summary>
    public IEnumerable<DateTimeOffset> BecameMain =>
        Lines("listener 'store': is the main").Select(line => DateTimeOffset.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture));

    /// <summary>How often it has begun to wait for that, by its log.</summary>
    public int StoodBy => Lines("listener 'store': stands by").Count;

    /// <summary>What it has logged as error.</summary>
    public IReadOnlyList<string> Errors => Lines(" error ");

    /// <summary>The last lines of its log, for a failed test.</summary>
    public string Log
    {
        get
        {
            lock (_all)
            {
                return string.Join(
                    '\n', _all.TakeLast(2).SelectMany(program => program.Output.TakeLast(60)).Select(line => $"{Name}: {line}"));
            }
        }
    }

    /// <summary>Starts it, and waits until it listens.</summary>
    public async Task StartAsync()
    {
        _program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", _file);
        _process = _program.Id;
        lock (_all)
        {
            _all.Add(_program);
        }
        await Eventually.BeTrueAsync(
            () => _program.Output.Any(line => line.Contains("listener 'web' listens on", StringComparison.Ordinal)), "it serves");
        Interlocked.Increment(ref _epoch);
    }

    /// <summary>Kills it.</summary>
    public Task KillAsync() => EndAsync(SigKill);

    /// <summary>Ends it as a service manager does.</summary>
    public Task TerminateAsync() => EndAsync(ProgramUnderTest.SigTerm);

    /// <summary>Replaces it by a new process, which no client may notice, and waits for the end of the old one.</summary>
    /// <returns>Why that was refused; null where it was done.</returns>
    public async Task<string?> ReplaceAsync()
    {
        using var client = new HttpClient();
        using var answer = await client.PostAsync($"http://127.0.0.1:{Management}/api/upgrade", null);
        var text = await answer.Content.ReadAsStringAsync();
        if (!answer.IsSuccessStatusCode)
        {
            return text;
        }
        var old = _process;
        _process = JsonNode.Parse(text)!["process"]!.GetValue<int>();
        await Upgrades.EndedAsync(old);
        return null;
    }

    /// <summary>Stops it: it does nothing until <see cref="Continue"/>.</summary>
    public void Stop()
    {
        ProgramUnderTest.Signal(_process, SigStop);
        var threads = $"/proc/{_process}/task"; // The signal is only sent: a thread that has work goes on for a moment.
        SpinWait.SpinUntil(() => Directory.GetDirectories(threads).All(thread => IsStopped($"{thread}/stat")), TimeSpan.FromSeconds(30))
            .Should().BeTrue($"{Name} is stopped");
    }

    /// <summary>Lets it go on.</summary>
    public void Continue() => ProgramUnderTest.Signal(_process, SigContinue);

    // Its state is the letter behind the name, which is in parentheses: proc_pid_stat(5).
    private static bool IsStopped(string stat)
    {
        try
        {
            return File.ReadAllText(stat) is var text && text[text.LastIndexOf(')') + 2] == 'T';
        }
        catch (IOException)
        {
            return false; // The thread has just ended; the next look does not see it.
        }
    }

    private Task EndAsync(int signal)
    {
        Interlocked.Increment(ref _epoch);
        ProgramUnderTest.Signal(_process, signal);
        return Upgrades.EndedAsync(_process);
    }

    private List<string> Lines(string part)
    {
        lock (_all)
        {
            return [.. _all.SelectMany(program => program.Output).Where(line => line.Contains(part, StringComparison.Ordinal))];
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_process != 0 && Upgrades.IsRunning(_process))
        {
            ProgramUnderTest.Signal(_process, SigKill);
        }
        foreach (var program in _all)
        {
            await program.DisposeAsync();
        }
        await Etcd.DisposeAsync();
    }
}
