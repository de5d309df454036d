using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.EndToEnd;

namespace LoadBalancer.Tests.Support;

/// <summary>A load balancer that is replaced by new processes; all of them end with it.</summary>
internal sealed class Upgrades : IAsyncDisposable
{
    private readonly ProgramUnderTest _first;
    private readonly string _management;
    private readonly ConcurrentBag<int> _processes = [];

    private Upgrades(ProgramUnderTest first, string management) => (_first, _management) = (first, management);

    /// <summary>The process that was started first; the output of all of them comes through it.</summary>
    public ProgramUnderTest First => _first;

    /// <summary>Starts the first process.</summary>
    /// <param name="file">Its configuration file.</param>
    /// <param name="management">The port of its management listener.</param>
    public static Task<Upgrades> StartAsync(string file, int management) =>
        StartWithAsync(new Dictionary<string, string>(), file, management);

    /// <summary>The same, with further variables in its environment.</summary>
    public static async Task<Upgrades> StartWithAsync(IReadOnlyDictionary<string, string> environment, string file, int management) =>
        new(await ProgramUnderTest.StartAsync("LoadBalancer", environment, "--config", file), $"http://127.0.0.1:{management}");

    /// <summary>Asks the management listener over a new connection.</summary>
    public async Task<JsonNode> AskAsync(HttpMethod method, string path, object? body = null)
    {
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(method, _management + path);
        request.Content = body is null ? null : JsonContent.Create(body);
        using var response = await client.SendAsync(request);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
    }

    /// <summary>Replaces the process that serves.</summary>
    /// <returns>The number of the new one.</returns>
    public async Task<int> UpgradeAsync()
    {
        var answer = await AskAsync(HttpMethod.Post, "/api/upgrade");
        answer["replaced"]?.GetValue<bool>().Should().BeTrue(answer.ToJsonString());
        return Keep(answer["process"]!.GetValue<int>());
    }

    /// <summary>Remembers a process that is to end with this object.</summary>
    public int Keep(int process)
    {
        _processes.Add(process);
        return process;
    }

    /// <summary>The number of the process that answers.</summary>
    public async Task<int> ServingAsync() => Keep((await AskAsync(HttpMethod.Get, "/api/node"))["process"]!.GetValue<int>());

    /// <summary>Waits until a process has ended.</summary>
    public static Task EndedAsync(int process) => Eventually.BeTrueAsync(() => !IsRunning(process), "it has ended");

    /// <summary>Whether a process runs: one that has ended may not have been asked for its exit code yet.</summary>
    public static bool IsRunning(int process)
    {
        try
        {
            return File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("State:", StringComparison.Ordinal)) is var state
                && !state.Contains('Z', StringComparison.Ordinal) && !state.Contains('X', StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>What a process has open, but for files that hold its code.</summary>
    public static int OpenFiles(int process) => Directory.GetFiles($"/proc/{process}/fd")
        .Select(path => new FileInfo(path).LinkTarget ?? "")
        .Count(name => name.Length > 0 && Path.GetExtension(name) is not (".dll" or ".pdb"));

    /// <summary>How many processes run with an argument in their command line.</summary>
    public static int Count(string argument) => Directory.GetDirectories("/proc")
        .Where(path => int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out var process)
            && IsRunning(process))
        .Count(path => CommandLine(path).Contains(argument, StringComparison.Ordinal));

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            try
            {
                using var running = Process.GetProcessById(process);
                running.Kill();
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException)
            {
                // It has ended.
            }
        }
        await _first.DisposeAsync();
    }

    private static string CommandLine(string path)
    {
        try
        {
            return File.ReadAllText(Path.Combine(path, "cmdline"));
        }
        catch (IOException)
        {
            return "";
        }
    }
}
