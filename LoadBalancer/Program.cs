using LoadBalancer.CommandLine;
using LoadBalancer.Composition;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;
using LoadBalancer.Upgrade;

namespace LoadBalancer;

/// <summary>The way in: reads the command line and runs a node until it is told to stop, or another process has taken its place.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        // Socket completions run on the thread that polled them instead of being queued to another: the largest single gain there
        // is (a third of the CPU for a request). Read once, before the first socket. Its price: nothing may block there.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        var command = StartCommand.OfThisProcess(args);
        using var predecessor = OperatingSystem.IsLinux() ? Predecessor.Find() : null;
        using var signals = new ProcessSignals(TimeProvider.System);
        return await CommandLineInterface.InvokeAsync(
            args, configuration => RunAsync(configuration, signals, command, predecessor),
            errors => ReportFailureAsync(predecessor, errors));
    }

    /// <summary>Runs a node until SIGINT or SIGTERM, until its terminal is closed, or until it is replaced.</summary>
    /// <returns>The exit code: 0; 1 where a listener could not start; 130 where a second SIGINT has cut the stop short.</returns>
    private static async Task<int> RunAsync(
        LoadedConfiguration configuration, ProcessSignals signals, StartCommand command, Predecessor? predecessor)
    {
        var error = TransportChoice.FindError(Environment.GetEnvironmentVariable(TransportChoice.Variable))
            ?? (OperatingSystem.IsLinux() ? FileReserve.FindError() : null);
        if (error is not null)
        {
            await Console.Error.WriteLineAsync(error);
            await ReportFailureAsync(predecessor, [error]);
            return 1;
        }
        try
        {
            using var node = Node.Build(configuration, TimeProvider.System, await NodeStart.FindAsync(command, predecessor));
            var lifetime = node.Services.GetRequiredService<IHostApplicationLifetime>();
            using var stop = signals.TerminalClosed.Register(lifetime.StopApplication);
            signals.UpgradeRequested += node.BeginUpgrade;
            await node.StartAsync();
            await (predecessor?.ReportReadyAsync() ?? Task.CompletedTask);
            await Task.WhenAny(
                node.Replaced, Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, lifetime.ApplicationStopping));
            await node.LeaveAsync(signals.Now);
            await node.StopAsync(signals.Now);
        }
        catch (OperationCanceledException)
        {
            // Told to stop while it started, or to stop at once.
        }
        catch (StartException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            await ReportFailureAsync(predecessor, [e.Message]);
            return 1;
        }
        return signals.Now.IsCancellationRequested ? ProcessSignals.EndedAtOnce : 0;
    }

    private static Task ReportFailureAsync(Predecessor? predecessor, IEnumerable<string> errors) =>
        predecessor?.ReportFailureAsync(errors) ?? Task.CompletedTask;
}
