namespace LoadBalancer.Configuration;

/// <summary>What became of a configuration file that was read while the node runs.</summary>
/// <param name="Errors">Why it was not applied, each with its path; empty where it was applied.</param>
/// <param name="Warnings">Its warnings, where it was applied.</param>
public sealed record ReloadResult(IReadOnlyList<string> Errors, IReadOnlyList<string> Warnings)
{
    /// <summary>When that was.</summary>
    public DateTimeOffset At { get; init; }
}
