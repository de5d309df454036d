using Microsoft.Extensions.Logging.Console;

namespace LoadBalancer.Diagnostics;

/// <summary>The log for operators: on standard output, one line for each entry; no caller ever waits for it.</summary>
internal static class ConsoleLogging
{
    /// <summary>
    /// Adds it: our own entries from information on, those of the framework from warning on. <see cref="HeldLines"/> holds them back at
    /// first.
    /// </summary>
    public static void AddTo(ILoggingBuilder logging)
    {
        logging.AddConsole(console => console.FormatterName = LineFormatter.FormatterName);
        logging.Services.AddSingleton<HeldLines>();
        logging.Services.AddSingleton<ConsoleFormatter, LineFormatter>();
        // Never wait for a terminal.
        logging.Services.Configure<ConsoleLoggerOptions>(console => console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite);
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("System", LogLevel.Warning);
        logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical); // logs a listener that cannot start with a long stack trace
    }
}
