namespace LoadBalancer.Composition;

/// <summary>Something that is done once, at its place in the order of what a node starts.</summary>
/// <param name="step">Does it.</param>
internal sealed class StartStep(Func<CancellationToken, Task> step) : IHostedService
{
    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => step(cancellationToken);

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
