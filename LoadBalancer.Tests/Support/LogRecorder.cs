using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>Keeps every line of a log.</summary>
internal sealed class LogRecorder : ILoggerProvider, ILogger
{
    public ConcurrentQueue<string> Lines { get; } = new();

    /// <summary>Waits for a line that has all of these in it: what a node does may be seen before it is logged.</summary>
    public Task SaysAsync(params string[] parts) => Eventually.BeTrueAsync(
        () => Lines.Any(line => parts.All(part => line.Contains(part, StringComparison.Ordinal))),
            $"it logs '{string.Join(" … ", parts)}'");

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue($"{logLevel}: {formatter(state, exception)}{exception}");

    public void Dispose()
    {
    }
}
