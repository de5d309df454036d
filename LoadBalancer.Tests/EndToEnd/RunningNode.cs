using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The program, with a configuration of a test's own and a management listener.</summary>
internal sealed class RunningNode : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly string _file;

    private RunningNode(TemporaryDirectory directory, string file, ProgramUnderTest program, int management)
    {
        (_directory, _file, Program) = (directory, file, program);
        Management = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{management}") };
    }

    /// <summary>The process.</summary>
    public ProgramUnderTest Program { get; }

    /// <summary>Talks to its management listener.</summary>
    public HttpClient Management { get; }

    /// <summary>Starts it, and waits until it listens.</summary>
    /// <param name="settings">What is in the section LoadBalancer beside <c>Management</c>.</param>
    /// <param name="environment">Further variables of its environment.</param>
    public static async Task<RunningNode> StartAsync(string settings, Dictionary<string, string>? environment = null)
    {
        var directory = new TemporaryDirectory();
        var (file, management) = (directory.File("settings.json"), ReservedPorts.Next());
        var address = $"--LoadBalancer:Management:Address=http://127.0.0.1:{management}";
        await File.WriteAllTextAsync(file, Text(settings));
        return new RunningNode(
            directory, file, await ProgramUnderTest.StartAsync("LoadBalancer", environment ?? [], "--config", file, address), management);
    }

    /// <summary>Writes other settings into its file, and has them applied.</summary>
    /// <returns>What it answers.</returns>
    public async Task<string> ReloadAsync(string settings)
    {
        await File.WriteAllTextAsync(_file, Text(settings));
        using var answer = await Management.PostAsync("/api/reload", null);
        return await answer.Content.ReadAsStringAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Management.Dispose();
        await Program.DisposeAsync();
        _directory.Dispose();
    }

    private static string Text(string settings) => $$"""{ "LoadBalancer": { {{settings}} } }""";
}
