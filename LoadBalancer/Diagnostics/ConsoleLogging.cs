using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace LoadBalancer.Diagnostics;

/// <summary>The log for operators: on standard output, one line for each entry; no caller ever waits for it.</summary>
internal static class ConsoleLogging
{
    /// <summary>
    /// Adds it: our own entries from information on, those of the framework from warning on. <see cref="HeldLines"/> holds them back at
    /// first. Needs a <see cref="TimeProvider"/>.
    /// </summary>
    public static void AddTo(IServiceCollection services)
    {
        services.AddSingleton<HeldLines>();
        services.RemoveAll<ILoggerFactory>();
        services.AddSingleton<ILoggerFactory>(provider => New(
            new LineFormatter(provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<HeldLines>())));
    }

    private static LoggerFactory New(LineFormatter formatter)
    {
        var console = new ConsoleLoggerOptions
        {
            FormatterName = LineFormatter.FormatterName,
            QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite, // Never wait for a terminal.
        };
        var filter = new LoggerFilterOptions { MinLevel = LogLevel.Information };
        filter.AddFilter("Microsoft", LogLevel.Warning);
        filter.AddFilter("System", LogLevel.Warning);
        filter.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical); // logs a listener that cannot start with a long stack trace
        var factory = new LoggerFactory([], filter);
        // Disposed of with the factory, so that all lines are written.
        factory.AddProvider(new ConsoleLoggerProvider(new Constant(console), [formatter]));
        return factory;
    }

    // Options that never change.
    private sealed class Constant(ConsoleLoggerOptions value) : IOptionsMonitor<ConsoleLoggerOptions>
    {
        public ConsoleLoggerOptions CurrentValue => value;

        public ConsoleLoggerOptions Get(string? name) => value;

        public IDisposable? OnChange(Action<ConsoleLoggerOptions, string?> listener) => null;
    }
}
