namespace LoadBalancer.Pools;

/// <summary>
/// The queue in which work waits while every backend that could do it is at its limit, first in, first out. It has no clock: the caller
/// limits the wait by a token, and leaves the queue at once when that is cancelled.
/// </summary>
public sealed class WaitingRoom
{
    private readonly BackendPool _pool;
    private readonly Lock _gate = new();
    private readonly LinkedList<Waiter> _waiters = new();
    private int _count;

    internal WaitingRoom(BackendPool pool, int limit) => (_pool, Limit) = (pool, limit);

    /// <summary>How many may wait at the same time.</summary>
    public int Limit { get; set; }

    /// <summary>How many wait now.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Waits until it is this work's turn and a backend has room for it.</summary>
    /// <param name="context">The work; when no eligible backend is left that it was not tried at, the wait ends.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// The lease; null where no backend is left that could do the work, or the token was cancelled. Null instead of a task where the queue
    /// is full.
    /// </returns>
    public Task<BackendLease?>? TryEnter(SelectionContext context, CancellationToken cancellationToken)
    {
        Waiter waiter;
        lock (_gate)
        {
            if (_waiters.Count >= Limit)
            {
                // A backend may have become free just now. Or all that waits was tried elsewhere, and waits for one backend in particular.
                var isFree = _waiters.First is null || _waiters.First.Value.Context.HasTriedAny;
                return isFree && _pool.TryAcquire(context, out var lease) ? Task.FromResult<BackendLease?>(lease) : null;
            }
            waiter = new Waiter(this, context);
            waiter.Place = _waiters.AddLast(waiter);
            Volatile.Write(ref _count, _waiters.Count);
        }
        Serve(); // A lease that ended just before was not offered to it.
        return waiter.Task.IsCompleted ? waiter.Task : AwaitAsync(waiter, cancellationToken);
    }

    /// <summary>
    /// Gives backends with room to the work that waits. Called when one may have become free, or when none may be left to wait for.
    /// </summary>
    internal void Serve()
    {
        if (Count == 0)
        {
            return;
        }
        lock (_gate)
        {
            // Nearly always the first takes what is free and the second finds nothing. Only work that was tried before may be passed over.
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
                    return; // What comes later finds nothing either.
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

    /// <summary>Work that waits. It goes on on another thread: the one that ends a lease has other things to do.</summary>
    private sealed class Waiter(WaitingRoom room, SelectionContext context)
        : TaskCompletionSource<BackendLease?>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public SelectionContext Context { get; } = context;

        public LinkedListNode<Waiter>? Place { get; set; }

        public void Leave()
        {
            lock (room._gate)
            {
                if (TrySetResult(null))
                {
                    room.RemoveNeedsLock(this);
                }
            }
        }
    }
}
