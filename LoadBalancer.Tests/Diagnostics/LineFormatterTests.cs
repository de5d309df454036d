using LoadBalancer.Diagnostics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Diagnostics;

internal sealed class LineFormatterTests
{
    [TestCase(LogLevel.Information, null, "2025-01-01T00:00:00.000Z info  it happened\n")]
    [TestCase(LogLevel.Warning, "one\r\ntwo", "2025-01-01T00:00:00.000Z warn  it happened one two\n")]
    [TestCase(LogLevel.Error, "one", "2025-01-01T00:00:00.000Z error it happened\nSystem.InvalidOperationException: one\n")]
    public void Write_Entry_IsOneLineUnlessItIsAnError(LogLevel level, string? exception, string expected)
    {
        using var text = new StringWriter { NewLine = "\n" };
        var entry = new LogEntry<string>(level, "category", default, "it happened",
            exception is null ? null : new InvalidOperationException(exception), (state, _) => state);

        new LineFormatter(new FakeTimeProvider(new DateTimeOffset(2025, 1, 1, 0, 0, 0, TimeSpan.Zero))).Write(entry, null, text);

        text.ToString().Should().Be(expected);
    }
}
