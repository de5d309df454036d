namespace LoadBalancer.CommandLine;

/// <summary>A command that failed, with one line for the user.</summary>
/// <param name="exitCode">The exit code.</param>
/// <param name="message">What happened and what to do.</param>
internal sealed class CommandException(int exitCode, string message) : Exception(message)
{
    /// <summary>The exit code of what the node refuses, and of wrong usage.</summary>
    public const int Refused = 1;

    /// <summary>The exit code where the node cannot be reached.</summary>
    public const int NotReachable = 2;

    /// <summary>The exit code.</summary>
    public int ExitCode => exitCode;
}
