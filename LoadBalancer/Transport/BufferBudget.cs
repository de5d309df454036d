namespace LoadBalancer.Transport;

/// <summary>
/// Bounds the bytes that all peers of a port together have in buffers of this process: what waits because they do not read it, and
/// messages that have arrived in part. Beyond the limit the peer with the most is disconnected, so one that reads what it is sent is not
/// affected. A peer whose bytes do not wait costs nothing here.
/// </summary>
internal sealed class BufferBudget
{
    private const long WorthGivingBack = 10_000_000; // bytes
    private static readonly TimeSpan GiveBackInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new(); // innermost lock: nothing is called or locked inside
    private readonly HashSet<BufferShare> _holders = [];
    private readonly TimeProvider _time;
    private readonly ITimer? _giveBack;
    private long _limit;
    private long _total;
    private long _freed;
    private bool _isGivingBack;

    /// <summary>Creates a budget of which nothing is used.</summary>
    /// <param name="limit">The most bytes.</param>
    /// <param name="time">The clock.</param>
    public BufferBudget(long limit, TimeProvider time)
    {
        (_limit, _time) = (limit, time);
        _giveBack = OperatingSystem.IsLinux() // where the process has event loops, which say when it is quiet
            ? time.CreateTimer(_ => GiveBack(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan) : null;
    }

    /// <summary>The most bytes; a lower limit applies from the next change on.</summary>
    public long Limit
    {
        get => Interlocked.Read(ref _limit);
        set => Interlocked.Exchange(ref _limit, value);
    }

    /// <summary>How many bytes there are now.</summary>
    public long Total
    {
        get
        {
            lock (_gate)
            {
                return _total;
            }
        }
    }

    /// <summary>Adds a peer.</summary>
    /// <param name="exceeded">
    /// Called once, on a thread of the pool, if the peer has the most when there is too much: it must be disconnected. From then on nothing
    /// of it is counted.
    /// </param>
    public BufferShare Join(Action exceeded) => new(this, exceeded);

    /// <summary>Changes what a peer has, by a number of bytes.</summary>
    internal void Change(BufferShare share, long by)
    {
        BufferShare? most = null;
        bool isMuchFreed;
        lock (_gate)
        {
            if (share.IsOver)
            {
                return;
            }
            AddNeedsLock(share, by);
            if (by > 0 && _total > Limit)
            {
                most = _holders.MaxBy(holder => holder.Bytes)!;
                EndNeedsLock(most);
            }
            isMuchFreed = IsMuchFreedNeedsLock();
        }
        if (most is not null)
        {
            // Not here: the caller may hold locks, and a peer that is disconnected may give its work to others.
            ThreadPool.UnsafeQueueUserWorkItem(static share => share.Exceeded(), most, preferLocal: false);
        }
        GiveBackLaterIf(isMuchFreed);
    }

    /// <summary>A peer is gone.</summary>
    internal void Leave(BufferShare share)
    {
        bool isMuchFreed;
        lock (_gate)
        {
            EndNeedsLock(share);
            isMuchFreed = IsMuchFreedNeedsLock();
        }
        GiveBackLaterIf(isMuchFreed);
    }

    private void AddNeedsLock(BufferShare share, long by)
    {
        share.Bytes += by;
        _total += by;
        _freed += by < 0 ? -by : 0;
        _ = share.Bytes > 0 ? _holders.Add(share) : _holders.Remove(share);
    }

    private void EndNeedsLock(BufferShare share)
    {
        AddNeedsLock(share, -share.Bytes);
        share.IsOver = true;
    }

    private bool IsMuchFreedNeedsLock()
    {
        var isMuchFreed = _freed >= WorthGivingBack && !_isGivingBack;
        _isGivingBack |= isMuchFreed;
        return isMuchFreed;
    }

    private void GiveBackLaterIf(bool isMuchFreed)
    {
        if (isMuchFreed)
        {
            _giveBack?.Change(GiveBackInterval, GiveBackInterval);
        }
    }

    private void GiveBack()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }
        long freed;
        lock (_gate)
        {
            (freed, _freed) = (_freed, 0);
        }
        if (!FreedMemory.OfProcess.Count(freed, _time))
        {
            lock (_gate)
            {
                _isGivingBack = false;
            }
            _giveBack!.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }
}
