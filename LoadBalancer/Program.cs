using LoadBalancer.CommandLine;
using LoadBalancer.Composition;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer;

/// <summary>The way in: reads the command line and runs a node until it is told to stop.</summary>
internal static class Program
{
    private static Task<int> Main(string[] args)
    {
        // Socket completions run on the thread that polled them instead of being queued to another: the largest single gain there
        // is (a third of the CPU for a request). Read once, before the first socket. Its price: nothing may block there.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        return CommandLineInterface.InvokeAsync(args, RunAsync);
    }

    /// <summary>Runs a node until SIGINT or SIGTERM.</summary>
    /// <returns>The exit code: 0, or 1 where a listener could not start.</returns>
    private static async Task<int> RunAsync(LoadedConfiguration configuration)
    {
        if (TransportChoice.FindError(Environment.GetEnvironmentVariable(TransportChoice.Variable)) is { } error)
        {
            await Console.Error.WriteLineAsync(error);
            return 1;
        }
        try
        {
            using var node = Node.Build(configuration, TimeProvider.System);
            await node.StartAsync();
            await node.WaitForShutdownAsync();
            return 0;
        }
        catch (StartException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }
    }
}
