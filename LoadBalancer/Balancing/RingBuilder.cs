using System.Collections.Concurrent;

namespace LoadBalancer.Balancing;

/// <summary>
/// Builds the rings of a pool one after the other, away from who has changed the pool: that may be an event loop, and it holds the pool's
/// lock.
/// </summary>
/// <param name="run">Runs it; null: a thread of the thread pool does.</param>
internal sealed class RingBuilder(Action<Action>? run)
{
    private readonly Action<Action> _run = run ?? (static build => ThreadPool.UnsafeQueueUserWorkItem(
        static action => action(), build, preferLocal: false));

    private readonly ConcurrentQueue<HashPolicy> _waiting = new();
    private int _count;

    /// <summary>Builds the ring of a policy soon, unless another one has taken its place by then.</summary>
    public void Add(HashPolicy policy)
    {
        _waiting.Enqueue(policy);
        if (Interlocked.Increment(ref _count) == 1)
        {
            _run(BuildAll);
        }
    }

    private void BuildAll()
    {
        do
        {
            if (_waiting.TryDequeue(out var policy))
            {
                policy.PlaceUnlessReplaced();
            }
        }
        while (Interlocked.Decrement(ref _count) > 0);
    }
}
