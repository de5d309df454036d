using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// Writes a log entry as one line: time (UTC) and level first, no category. Only an error may have a stack trace below it, because a
/// client can make Kestrel log warnings as often as it likes.
/// </summary>
internal sealed class LineFormatter(TimeProvider time, HeldLines held) : ConsoleFormatter(FormatterName)
{
    /// <summary>The name under which the console logger finds it.</summary>
    public const string FormatterName = "line";

    /// <inheritdoc/>
    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var level = logEntry.LogLevel switch
        {
            LogLevel.Trace or LogLevel.Debug => "debug",
            LogLevel.Information => "info ",
            LogLevel.Warning => "warn ",
            _ => "error",
        };
        var exception = logEntry.Exception;
        var isError = logEntry.LogLevel >= LogLevel.Error;
        var cause = exception is null || isError ? "" : " " + exception.Message.ReplaceLineEndings(" ");
        var line = $"{time.GetUtcNow():yyyy-MM-dd'T'HH:mm:ss.fff'Z'} {level} {logEntry.Formatter(logEntry.State, exception)}{cause}";
        var trace = exception is not null && isError ? exception + textWriter.NewLine : "";
        held.Write(line + textWriter.NewLine + trace, textWriter);
    }
}
