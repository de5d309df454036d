using LoadBalancer.Cluster;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// The turn of a node of a cluster to order a name. It ends when it is disposed of, or with its lease where the process dies; so do the
/// answers that the other nodes give meanwhile.
/// </summary>
internal sealed class AcmeTurn : IAsyncDisposable
{
    private readonly Lease _lease;
    private readonly Func<string, string, Task> _publish;
    private readonly Func<Task> _flush;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _keeping;

    /// <summary>Keeps the turn from now on.</summary>
    /// <param name="lease">The lease with which it ends.</param>
    /// <param name="publish">Lets the other nodes answer a token.</param>
    /// <param name="flush">Lets the other nodes know what has come of it.</param>
    /// <param name="logger">Gets what is unexpected.</param>
    public AcmeTurn(Lease lease, Func<string, string, Task> publish, Func<Task> flush, ILogger logger)
    {
        (_lease, _publish, _flush) = (lease, publish, flush);
        lease.Pin();
        _keeping = lease.RunAsync(_stop.Token);
        BackgroundTask.Run(_keeping, logger, "keeping the turn to order a certificate");
    }

    /// <summary>Lets the other nodes answer a token until the turn ends.</summary>
    public Task PublishAsync(string token, string answer) => _publish(token, answer);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _flush();
        await _stop.CancelAsync();
        await _keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _lease.RevokeAsync();
        _lease.Dispose();
        _stop.Dispose();
    }
}
