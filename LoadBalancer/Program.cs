using LoadBalancer.CommandLine;
using LoadBalancer.Composition;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer;

/// <summary>The way in: reads the command line and runs a node until it is told to stop.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        // Socket completions run on the thread that polled them instead of being queued to another: the largest single gain there
        // is (a third of the CPU for a request). Read once, before the first socket. Its price: nothing may block there.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        using var signals = new ProcessSignals(TimeProvider.System);
        return await CommandLineInterface.InvokeAsync(args, configuration => RunAsync(configuration, signals));
    }

    /// <summary>Runs a node until SIGINT or SIGTERM, or until its terminal is closed.</summary>
    /// <returns>The exit code: 0; 1 where a listener could not start; 130 where a second SIGINT has cut the stop short.</returns>
    private static async Task<int> RunAsync(LoadedConfiguration configuration, ProcessSignals signals)
    {
        var error = TransportChoice.FindError(Environment.GetEnvironmentVariable(TransportChoice.Variable))
            ?? (OperatingSystem.IsLinux() ? FileReserve.FindError() : null);
        if (error is not null)
        {
            await Console.Error.WriteLineAsync(error);
            return 1;
        }
        try
        {
            using var node = Node.Build(configuration, TimeProvider.System);
            var lifetime = node.Services.GetRequiredService<IHostApplicationLifetime>();
            using var stop = signals.TerminalClosed.Register(lifetime.StopApplication);
            await node.StartAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, lifetime.ApplicationStopping)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await node.StopAsync(signals.Now);
        }
        catch (OperationCanceledException)
        {
            // Told to stop while it started, or to stop at once.
        }
        catch (StartException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }
        return signals.Now.IsCancellationRequested ? ProcessSignals.EndedAtOnce : 0;
    }
}
