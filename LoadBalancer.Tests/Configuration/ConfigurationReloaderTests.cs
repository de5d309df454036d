using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;
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
            ConfigurationLoader.Load(_file), _ => [], _ => { }, _clock, NullLogger<ConfigurationReloader>.Instance);
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

    public void Dispose() => File.Delete(_file);
}
