namespace LoadBalancer.Tests.Support;

/// <summary>The transports that this system has, for fixtures that hold both to the same.</summary>
internal static class Transports
{
    public const string Epoll = "Epoll";

    public static IEnumerable<string> All => OperatingSystem.IsLinux() ? [Epoll, "Sockets"] : ["Sockets"];
}
