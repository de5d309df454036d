using BenchmarkDotNet.Running;

namespace LoadBalancer.Bench;

internal static class Program
{
    private static void Main(string[] args)
    {
        // As the load balancer's own Program does: read once, before the first socket.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
    }
}
