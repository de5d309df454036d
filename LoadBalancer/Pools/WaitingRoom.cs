namespace LoadBalancer.Pools;

/// <summary>
/// Where work waits while every backend that could do it is full, first come first served. It has no clock: whoever waits says how
/// long by a token, and leaves at once when that is cancelled.
/// </summary>
public sealed class WaitingRoom
{
    private readonly BackendPool _pool;
    private readonly Lock _gate = new();
    private readonly LinkedList<Waiter> _waiters = new();
    private int _count;

    internal WaitingRoom(BackendPool pool, int limit) => (_pool, Limit) = (pool, limit);

    /// <summary>How many may wait at once.</summary>
    public int Limit { get; set; }

    /// <summary>How many wait now.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Waits until it is this work's turn and a backend has room for it.</summary>
    /// <param name="context">What the work is chosen for; where all that it admits are gone it is not worth waiting.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// The lease; null where nobody is left who could do the work, or the token was cancelled. Null instead of a task where the room is full.
    /// </returns>
    public Task<BackendLease?>? TryEnter(SelectionContext context, CancellationToken cancellationToken)
    {
        Waiter waiter;
        lock (_gate)
        {
            if (_waiters.Count >= Limit)
            {
                // Room may have come just now; and those who wait may all wait for somebody in particular, having been tried elsewhere.
                var isFree = _waiters.First is null || _waiters.First.Value.Context.HasTriedAny;
                return isFree && _pool.TryAcquire(context, out var lease) ? Task.FromResult<BackendLease?>(lease) : null;
            }
            waiter = new Waiter(this, context);
            waiter.Place = _waiters.AddLast(waiter);
            Volatile.Write(ref _count, _waiters.Count);
        }
        Serve(); // What was given back just before was not offered to it.
        return waiter.Task.IsCompleted ? waiter.Task : AwaitAsync(waiter, cancellationToken);
    }

    /// <summary>Gives what room there is to those who wait; to be called when some may have become free, or nobody may be left.</summary>
    internal void Serve()
    {
        if (Count == 0)
        {
            return;
        }
        lock (_gate)
        {
            // Nearly always the first takes what is free and the second finds nothing; only who was tried elsewhere before may be passed over.
            for (var place = _waiters.First; place is not null;)
            {
                var (waiter, next) = (place.Value, place.Next);
                if (_pool.TryAcquire(waiter.Context, out var lease) || !_pool.HasUntried(waiter.Context))
                {
                    Remove(waiter);
                    waiter.SetResult(lease);
                }
                else if (!waiter.Context.HasTriedAny)
                {
                    return; // Whoever comes later finds nothing either.
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

    // Under the lock.
    private void Remove(Waiter waiter)
    {
        _waiters.Remove(waiter.Place!);
        Volatile.Write(ref _count, _waiters.Count);
    }

    /// <summary>Somebody who waits. Goes on elsewhere: whoever gives room back is in the middle of something.</summary>
    private sealed class Waiter(WaitingRoom room, SelectionContext context) : TaskCompletionSource<BackendLease?>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public SelectionContext Context { get; } = context;

        public LinkedListNode<Waiter>? Place { get; set; }

        public void Leave()
        {
            lock (room._gate)
            {
                if (TrySetResult(null))
                {
                    room.Remove(this);
                }
            }
        }
    }
}
