using Microsoft.Extensions.Logging.Console;

namespace LoadBalancer.Diagnostics;

/// <summary>The log that a user reads: on standard output, a line for each entry, never waited for.</summary>
internal static class ConsoleLogging
{
    /// <summary>Sets it up: information and above of our own, warnings of the framework's.</summary>
    public static void AddTo(ILoggingBuilder logging)
    {
        logging.AddConsole(console => console.FormatterName = LineFormatter.FormatterName);
        logging.AddConsoleFormatter<LineFormatter, ConsoleFormatterOptions>();
        logging.Services.Configure<ConsoleLoggerOptions>(console => console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite); // never wait for a terminal
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("System", LogLevel.Warning);
        logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical); // tells of a listener that cannot start at great length
    }
}
