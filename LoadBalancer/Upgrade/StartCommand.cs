using System.Diagnostics;

namespace LoadBalancer.Upgrade;

/// <summary>How this process was started, to start the program anew.</summary>
/// <param name="Program">
/// The path of its file as it was given, so that a link is followed anew and a file that has replaced it is found.
/// </param>
/// <param name="HostArguments">What stands before the program's own arguments: for <c>dotnet X.dll</c> the path of X.dll.</param>
/// <param name="Arguments">The arguments of the program itself.</param>
internal sealed record StartCommand(string Program, IReadOnlyList<string> HostArguments, IReadOnlyList<string> Arguments)
{
    private const string Gone = " (deleted)"; // added by the kernel where the running file was replaced

    /// <summary>The file of the program, for the log.</summary>
    public string Name => HostArguments.Count > 0 ? HostArguments[^1] : Program;

    /// <summary>The one of this process.</summary>
    /// <param name="arguments">What its Main was given.</param>
    public static StartCommand OfThisProcess(string[] arguments)
    {
        var words = OperatingSystem.IsLinux() ? File.ReadAllText("/proc/self/cmdline").Split('\0')[..^1] : [];
        var program = Environment.ProcessPath ?? "";
        program = program.EndsWith(Gone, StringComparison.Ordinal) ? program[..^Gone.Length] : program;
        if (words.Length > 0 && words[0].Contains('/', StringComparison.Ordinal) && File.Exists(words[0]))
        {
            program = Path.GetFullPath(words[0]);
        }
        var own = words.Length - arguments.Length;
        return new StartCommand(program, own > 1 ? words[1..own] : [], arguments);
    }

    /// <summary>Starts this program, or another one, with the same arguments.</summary>
    /// <param name="other">An executable, or a <c>.dll</c> that <c>dotnet</c> runs; null for the same program.</param>
    public ProcessStartInfo For(string? other)
    {
        if (other is null)
        {
            return new ProcessStartInfo(Program, [.. HostArguments, .. Arguments]);
        }
        return Path.GetExtension(other) == ".dll"
            ? new ProcessStartInfo(Path.GetFileName(Program) == "dotnet" ? Program : "dotnet", [other, .. Arguments])
            : new ProcessStartInfo(other, Arguments);
    }
}
