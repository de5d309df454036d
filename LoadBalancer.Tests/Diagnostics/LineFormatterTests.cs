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

        var held = new HeldLines();
        held.Release();
        NewFormatter(held).Write(entry, null, text);

        text.ToString().Should().Be(expected);
    }

    [Test]
    public void Write_BeforeTheRelease_IsHeldUntilTheNextLineAfterIt()
    {
        using var text = new StringWriter { NewLine = "\n" };
        var held = new HeldLines();
        var formatter = NewFormatter(held);
        void Write(string line) =>
            formatter.Write(new LogEntry<string>(LogLevel.Information, "category", default, line, null, (state, _) => state), null, text);

        Write("one");
        Write("two");
        var before = text.ToString();
        held.Release();
        Write("three");
        Write("four");

        before.Should().BeEmpty();
        text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[^1])
            .Should().Equal("one", "two", "three", "four");
    }

    private static LineFormatter NewFormatter(HeldLines held) =>
        new(new FakeTimeProvider(new DateTimeOffset(2025, 1, 1, 0, 0, 0, TimeSpan.Zero)), held);
}
