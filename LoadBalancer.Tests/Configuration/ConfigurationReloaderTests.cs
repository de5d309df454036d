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

    [Test]
    public async Task Use_OneThatWasPushed_IsAppliedOrRefusedAndTriedAgain()
    {
        await File.WriteAllTextAsync(_file, Text("own", 1));
        var (applied, tried) = (new List<string>(), new List<string>());
        using var log = new LogRecorder();
        using var loggers = new LoggerFactory([log]);
        using var reloader = new ConfigurationReloader(
            ConfigurationLoader.Load(_file),
            options =>
            {
                applied.Add(string.Join(", ", options.Pools.Select(pool => $"{pool.Key} {options.ShutdownTimeout.Seconds}")));
                return Task.CompletedTask;
            },
            _ => { }, _clock, new Logger<ConfigurationReloader>(loggers))
        {
            Tried = (pushed, result) => tried.Add($"{pushed.Number} {result.Errors.Count}"),
        };
        await reloader.StartAsync(CancellationToken.None);

        (await reloader.UseAsync(new PushedText(1, Text("one", 9)))).Errors.Should().BeEmpty();
        (await reloader.UseAsync(new PushedText(2, "{}"))).Errors.Should().NotBeEmpty();
        (await reloader.ReloadAsync()).Errors.Should().NotBeEmpty();
        (await reloader.UseAsync(new PushedText(3, Text("three", 9)))).Errors.Should().BeEmpty();
        await File.WriteAllTextAsync(_file, Text("other", 2));
        (await reloader.ReloadAsync()).Errors.Should().BeEmpty();

        applied.Should().Equal("one 1", "three 1", "three 2");
        tried.Should().Equal("1 0", "2 1", "2 1", "3 0");
        await log.SaysAsync("Error: configuration: number 2 of the cluster has changed and is invalid, so nothing changes; errors: 1");
        await log.SaysAsync($"Warning: configuration: a change of Pools, Listeners in '{_file}' is ignored, because configuration 3 of");
        await reloader.StopAsync(CancellationToken.None);
    }

    [Test]
    public async Task Reload_OwnFileChangesWhileAPushIsRefused_AppliesItsOwnSections()
    {
        await File.WriteAllTextAsync(_file, Text("own", 1));
        var applied = new ConcurrentQueue<string>();
        using var reloader = new ConfigurationReloader(
            ConfigurationLoader.Load(_file),
            options =>
            {
                applied.Enqueue($"{options.Pools.Keys.Single()} {options.ShutdownTimeout.Seconds}");
                return Task.CompletedTask;
            },
            _ => { }, _clock, NullLogger<ConfigurationReloader>.Instance);
        await reloader.StartAsync(CancellationToken.None);
        (await reloader.UseAsync(new PushedText(1, Text("one", 9)))).Errors.Should().BeEmpty();
        (await reloader.UseAsync(new PushedText(2, "{}"))).Errors.Should().NotBeEmpty();

        await File.WriteAllTextAsync(_file, Text("own", 2));
        (await reloader.ReloadAsync()).Errors.Should().NotBeEmpty("what was pushed is still refused");
        (await reloader.ReloadAsync()).Errors.Should().NotBeEmpty();
        await File.WriteAllTextAsync(_file, "{");
        (await reloader.ReloadAsync()).Errors.Should().NotBeEmpty();

        applied.Should().Equal("one 1", "one 2");
        await reloader.StopAsync(CancellationToken.None);
    }

    public void Dispose() => File.Delete(_file);

    private static string Text(string pool, int seconds) => $$"""
        { "LoadBalancer": {
            "ShutdownTimeout": "{{seconds}}s",
            "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "{{pool}}" } },
            "Pools": { "{{pool}}": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
        """;

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
