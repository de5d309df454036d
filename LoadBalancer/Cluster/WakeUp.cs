using System.Threading.Channels;

namespace LoadBalancer.Cluster;

/// <summary>Lets a loop that waits look again at once. Any number of calls before it looks count as one. Thread-safe.</summary>
/// <param name="clock">The clock.</param>
internal sealed class WakeUp(TimeProvider clock)
{
    private readonly Channel<bool> _set = // not a semaphore, which might be used after it was disposed of
        Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Ends the wait of the loop, or its next one.</summary>
    public void Set() => _set.Writer.TryWrite(true);

    /// <summary>Waits for <see cref="Set"/>.</summary>
    /// <param name="longest">Returns after so long in any case.</param>
    /// <param name="cancellationToken">Ends the loop.</param>
    /// <exception cref="OperationCanceledException">The loop is to end.</exception>
    public async Task WaitAsync(TimeSpan longest, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(longest, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        Task set = _set.Reader.WaitToReadAsync(either.Token).AsTask();
        await set.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        _set.Reader.TryRead(out _);
    }
}
