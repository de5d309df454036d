using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// Which of the two transports this process uses: event loops on epoll (the default on Linux), or the framework's sockets (the only one
/// elsewhere). <c>LOADBALANCER_TRANSPORT=Sockets</c> in the environment asks for the second one on Linux too. Read once.
/// </summary>
internal static class TransportChoice
{
    /// <summary>The environment variable.</summary>
    public const string Variable = "LOADBALANCER_TRANSPORT";

    /// <summary>Whether connections belong to event loops on epoll.</summary>
    [SupportedOSPlatformGuard("linux")]
    public static bool IsEpoll { get; } =
        OperatingSystem.IsLinux()
        && !string.Equals(Environment.GetEnvironmentVariable(Variable), "Sockets", StringComparison.OrdinalIgnoreCase);

    /// <summary>Says what is wrong with the value of the variable; null where it may be used.</summary>
    public static string? FindError(string? value) =>
        string.IsNullOrEmpty(value) || value.Equals("Sockets", StringComparison.OrdinalIgnoreCase)
            ? null : $"{Variable}: '{value}' is not a transport; expected Sockets, or nothing for the default";
}
