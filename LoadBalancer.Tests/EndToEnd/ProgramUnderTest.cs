using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>One of the repository's programs, running as a process of its own.</summary>
internal sealed partial class ProgramUnderTest : IAsyncDisposable
{
    /// <summary>Reloads the configuration and reopens the access logs.</summary>
    public const int SigHup = 1;

    /// <summary>Reopens the access logs (its number on Linux).</summary>
    public const int SigUsr1 = 10;

    /// <summary>Ctrl+C.</summary>
    public const int SigInt = 2;

    /// <summary>The signal that stops a program.</summary>
    public const int SigTerm = 15;

    private const string FileVariable = "LOADBALANCER_PROGRAM";

    private readonly Process _process;

    private ProgramUnderTest(
        string name, string[] args, int? files = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        string[] command = [.. CommandOf(name), .. args];
        // Under nohup SIGHUP is ignored, and SIGINT in the background of a script, by the programs that are started too.
        var start = files is null && OperatingSystem.IsLinux()
            ? new ProcessStartInfo("env", ["--default-signal=HUP", "--default-signal=INT", .. command])
            : files is null ? new ProcessStartInfo(command[0], command[1..])
            : new ProcessStartInfo("sh", ["-c", $"ulimit -n {files}; exec \"$0\" \"$@\"", .. command]);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        start.Environment["DOTNET_STARTUP_HOOKS"] = typeof(StartupHook).Assembly.Location;
        foreach (var (variable, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[variable] = value;
        }
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Output.Enqueue(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => Errors.Enqueue(line.Data ?? "");
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Its process number.</summary>
    public int Id => _process.Id;

    /// <summary>Lines written to standard output so far.</summary>
    public ConcurrentQueue<string> Output { get; } = [];

    /// <summary>Lines written to standard error so far.</summary>
    public ConcurrentQueue<string> Errors { get; } = [];

    /// <summary>
    /// What it has open (Linux): sockets, pipes and files, but for those that hold its code, which are opened as they are needed and stay
    /// open.
    /// </summary>
    public string[] OpenFiles =>
        [.. Directory.GetFiles($"/proc/{_process.Id}/fd").Select(path => new FileInfo(path).LinkTarget ?? "")
            .Where(name => name.Length > 0 && Path.GetExtension(name) is not (".dll" or ".pdb"))];

    /// <summary>How much of the processor it has used, in user and system.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>
    /// What starts a program: <c>dotnet</c> and what was built, or the file in the environment variable LOADBALANCER_PROGRAM instead of the
    /// load balancer, to test an artefact of packaging/build.sh.
    /// </summary>
    public static string[] CommandOf(string name) =>
        name == "LoadBalancer" && Environment.GetEnvironmentVariable(FileVariable) is { Length: > 0 } file ? [file]
        // Each project is built into the same place below its own folder.
        : ["dotnet", Path.Combine(
            AppContext.BaseDirectory.Replace("LoadBalancer.Tests", name, StringComparison.Ordinal), Path.GetFileName(name) + ".dll")];

    /// <summary>Starts a program and waits until it says that it listens.</summary>
    public static Task<ProgramUnderTest> StartAsync(string name, params string[] args) =>
        UntilItListensAsync(name, new ProgramUnderTest(name, args));

    /// <summary>The same, with further variables in its environment.</summary>
    public static Task<ProgramUnderTest> StartAsync(string name, IReadOnlyDictionary<string, string> environment, params string[] args) =>
        UntilItListensAsync(name, new ProgramUnderTest(name, args, environment: environment));

    /// <summary>Starts a program, and does not wait.</summary>
    public static ProgramUnderTest Start(string name, params string[] args) => new(name, args);

    /// <summary>The same, for a program that may open so many files and no more.</summary>
    public static Task<ProgramUnderTest> StartWithFilesAsync(int files, string name, params string[] args) =>
        UntilItListensAsync(name, StartWithFiles(files, name, args));

    /// <summary>The same, and does not wait.</summary>
    public static ProgramUnderTest StartWithFiles(int files, string name, params string[] args) => new(name, args, files);

    private static async Task<ProgramUnderTest> UntilItListensAsync(string name, ProgramUnderTest program)
    {
        await Eventually.BeTrueAsync(
            () => program._process.HasExited || program.Output.Any(line => line.Contains("listens on", StringComparison.Ordinal)),
                $"{name} listens");
        program._process.HasExited.Should().BeFalse(string.Join('\n', program.Errors));
        return program;
    }

    /// <summary>Runs a program to its end.</summary>
    /// <returns>Its exit code and what it wrote to standard output and standard error.</returns>
    public static async Task<(int ExitCode, string Output, string Errors)> RunAsync(string name, params string[] args)
    {
        await using var program = new ProgramUnderTest(name, args);
        await program._process.WaitForExitAsync();
        return (program._process.ExitCode, Text(program.Output), Text(program.Errors));
    }

    /// <summary>Asks the program to stop, as a service manager does, and waits for its exit code.</summary>
    public async Task<int> TerminateAsync()
    {
        Kill(_process.Id, SigTerm).Should().Be(0);
        await _process.WaitForExitAsync();
        return _process.ExitCode;
    }

    /// <summary>Asks the program to stop and does not wait.</summary>
    public void BeginTerminate() => Kill(_process.Id, SigTerm).Should().Be(0);

    /// <summary>Sends the program a signal.</summary>
    public void Signal(int number) => Signal(_process.Id, number);

    /// <summary>Sends a signal to any process of the test.</summary>
    public static void Signal(int process, int number) => Kill(process, number).Should().Be(0);

    /// <summary>Waits until the program has ended by itself.</summary>
    public async Task<int> EndAsync()
    {
        await _process.WaitForExitAsync();
        return _process.ExitCode;
    }

    /// <summary>The same where another process goes on writing to the same output.</summary>
    public async Task<int> ExitAsync()
    {
        await Eventually.BeTrueAsync(() => _process.HasExited, "it has ended");
        return _process.ExitCode;
    }

    /// <summary>Kills the program, which gets no chance to say goodbye.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await Eventually.BeTrueAsync(() => _process.HasExited, "it has ended");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process.Dispose();
    }

    private static string Text(IEnumerable<string> lines) => string.Join('\n', lines.Where(line => line.Length > 0));

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int pid, int signal);
}
