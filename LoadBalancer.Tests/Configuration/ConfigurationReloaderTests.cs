using System.Collections.Concurrent;
using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Configuration;

/// <summary>When the configuration file is read again.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ConfigurationReloaderTests : IDisposable
{
    private readonly FakeClock _clock = new();
    private readonly string _file = Path.GetTempFileName();

    [Test]
    public async Task RequestReload_InTheInstantOfThePoll_IsNeverLost()
    {
        await File.WriteAllTextAsync(_file, """
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
            """);
        using var reloader = new ConfigurationReloader(
            ConfigurationLoader.Load(_file), _ => Task.CompletedTask, _ => { }, _clock, NullLogger<ConfigurationReloader>.Instance);
        await reloader.StartAsync(CancellationToken.None);

        for (var i = 1; i <= 100; i++)
        {
            await Eventually.BeTrueAsync(() => _clock.UntilNextTimer is not null, "it waits for the next poll");
            reloader.RequestReload();
            _clock.Advance(_clock.UntilNextTimer ?? TimeSpan.Zero);
            await Eventually.BeTrueAsync(() => reloader.Applied == i, $"request {i} is carried out");
        }

        await reloader.StopAsync(CancellationToken.None);
    }

    [Test]
    public async Task Reload_Applied_IsCountedBeforeItIsLogged()
    {
        await File.WriteAllTextAsync(_file, """
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
            """);
        var logger = new CountingLogger();
        using var reloader = new ConfigurationReloader(
            ConfigurationLoader.Load(_file), _ => Task.CompletedTask, _ => { }, _clock, logger);
        logger.Count = () => reloader.Applied;
        await reloader.StartAsync(CancellationToken.None);

        reloader.RequestReload();
        await Eventually.BeTrueAsync(() => logger.Counts.Count == 1, "it is logged");

        logger.Counts.Should().Equal(1);
        await reloader.StopAsync(CancellationToken.None);
    }

    public void Dispose() => File.Delete(_file);

    /// <summary>Notes a number with each line of the log.</summary>
    private sealed class CountingLogger : ILogger<ConfigurationReloader>
    {
        public Func<long> Count { get; set; } = () => -1;

        public ConcurrentQueue<long> Counts { get; } = new();

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Counts.Enqueue(Count());
    }
}
