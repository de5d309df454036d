using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests;

/// <summary>Ends what the tests share once all have run.</summary>
[SetUpFixture]
internal sealed class SharedServers
{
    [OneTimeTearDown]
    public Task EndAsync() => RabbitServer.EndAsync();
}
