using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests;

/// <summary>Begins and ends what the tests share.</summary>
[SetUpFixture]
internal sealed class SharedServers
{
    private Watchdog? _watchdog;

    [OneTimeSetUp]
    public void Begin() => _watchdog = Watchdog.Start();

    [OneTimeTearDown]
    public async Task EndAsync()
    {
        await RabbitServer.EndAsync();
        _watchdog?.Dispose();
    }
}
