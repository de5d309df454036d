using BenchmarkDotNet.Running;

namespace LoadBalancer.Bench;

internal static class Program
{
    private static void Main(string[] args)
    {
        // As the load balancer's own Program does. The runtime reads it once, before the first socket is opened.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
    }
}
