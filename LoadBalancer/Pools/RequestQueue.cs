namespace LoadBalancer.Pools;

/// <summary>
/// The queue in which work waits while every backend that could do it is at its limit. First in, first out. It has no clock: the caller
/// limits the wait with a cancellation token.
/// </summary>
public sealed class RequestQueue
{
    private readonly BackendPool _pool;
    private readonly Lock _gate = new();
    private readonly LinkedList<Waiter> _waiters = new();
    private int _count;

    internal RequestQueue(BackendPool pool, int limit) => (_pool, Limit) = (pool, limit);

    /// <summary>The most requests that may wait at the same time.</summary>
    public int Limit { get; set; }

    /// <summary>How many requests wait now.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Waits for this work's turn and for a backend with room.</summary>
    /// <param name="context">The work. The wait ends when it was tried on every eligible backend.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// The lease; null if no backend is left for the work or the token was cancelled. Null instead of a task if the queue is full.
    /// </returns>
    public Task<BackendLease?>? TryEnqueue(SelectionContext context, CancellationToken cancellationToken)
    {
        Waiter waiter;
        lock (_gate)
        {
            if (_waiters.Count >= Limit)
            {
                // A backend may have become free just now. Or all work in the queue was tried before, and waits for particular backends.
                var isFree = _waiters.First is null || _waiters.First.Value.Context.HasTriedAny;
                return isFree && _pool.TryAcquire(context, out var lease) ? Task.FromResult<BackendLease?>(lease) : null;
            }
            waiter = new Waiter(this, context);
            waiter.Place = _waiters.AddLast(waiter);
            Volatile.Write(ref _count, _waiters.Count);
        }
        Serve(); // A lease that ended just before this was not offered to the new waiter.
        return waiter.Task.IsCompleted ? waiter.Task : AwaitAsync(waiter, cancellationToken);
    }

    /// <summary>
    /// Gives backends with room to the waiting work. Called when a backend may have become free, or when none may be left to wait for.
    /// </summary>
    internal void Serve()
    {
        if (Count == 0)
        {
            return;
        }
        lock (_gate)
        {
            // Usually the first waiter takes the free slot and the second finds none. Only work that was tried before may be skipped.
            for (var place = _waiters.First; place is not null;)
            {
                var (waiter, next) = (place.Value, place.Next);
                if (_pool.TryAcquire(waiter.Context, out var lease) || !_pool.HasUntried(waiter.Context))
                {
                    RemoveNeedsLock(waiter);
                    waiter.SetResult(lease);
                }
                else if (!waiter.Context.HasTriedAny)
                {
                    return; // Later waiters find no slot either.
                }
                place = next;
            }
        }
    }

    private static async Task<BackendLease?> AwaitAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.UnsafeRegister(static (state, _) => ((Waiter)state!).Leave(), waiter);
        return await waiter.Task;
    }

    private void RemoveNeedsLock(Waiter waiter)
    {
        _waiters.Remove(waiter.Place!);
        Volatile.Write(ref _count, _waiters.Count);
    }

    /// <summary>Waiting work. It continues on another thread, so that it does not delay the thread that ended a lease.</summary>
    private sealed class Waiter(RequestQueue queue, SelectionContext context)
        : TaskCompletionSource<BackendLease?>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public SelectionContext Context { get; } = context;

        public LinkedListNode<Waiter>? Place { get; set; }

        public void Leave()
        {
            lock (queue._gate)
            {
                if (TrySetResult(null))
                {
                    queue.RemoveNeedsLock(this);
                }
            }
        }
    }
}
