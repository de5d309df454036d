using System.Reflection;
using System.Runtime.CompilerServices;

namespace LoadBalancer.Diagnostics;

/// <summary>Which program this is: its version, how its code was compiled, and from which commit.</summary>
internal static class BuildInformation
{
    /// <summary>The version, such as <c>0.1.0</c>.</summary>
    public static string Version { get; } =
        typeof(BuildInformation).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>
    /// How its code was compiled: <c>Native AOT</c> or <c>ReadyToRun</c>, ahead of time (ReadyToRun code is compiled again where it runs
    /// often), or <c>JIT</c>, as it runs.
    /// </summary>
    public static string Kind { get; } =
        !RuntimeFeature.IsDynamicCodeSupported ? "Native AOT" : Metadata("ReadyToRun") == "true" ? "ReadyToRun" : "JIT";

    /// <summary>The commit that it was built from; null where the build did not name one.</summary>
    public static string? Commit { get; } = Metadata("Commit") is { Length: > 0 } commit ? commit : null;

    /// <summary>All of it, for people: <c>0.1.0 (Native AOT, commit 1a2b3c4)</c>. The first word is the version.</summary>
    public static string Text => Commit is null ? $"{Version} ({Kind})" : $"{Version} ({Kind}, commit {Commit})";

    // The project file writes these.
    private static string? Metadata(string key) =>
        typeof(BuildInformation).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().FirstOrDefault(item => item.Key == key)?.Value;
}
