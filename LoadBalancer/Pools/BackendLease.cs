namespace LoadBalancer.Pools;

/// <summary>
/// One backend, chosen for one request, connection or task and counted as in flight until the lease is given back, exactly
/// once, by <see cref="Complete"/>. Disposing a lease that was not completed gives it back as <see cref="AttemptOutcome.Abandoned"/>.
/// </summary>
public sealed class BackendLease : IDisposable
{
    private readonly BackendPool _pool;
    private readonly long _start;
    private readonly byte _entry; // of the expected times
    private bool _hasNoResponse;
    private int _awaiting; // how many waited with it for a response when it was sent; 0 if it does not wait, or where that is not counted
    private int _completed; // 0, or the outcome and 1

    internal BackendLease(BackendPool pool, Backend backend, int awaiting)
    {
        _awaiting = awaiting;
        _pool = pool;
        Backend = backend;
        _start = backend.Health.Time.GetTimestamp();
        if (backend.Expected is not null)
        {
            _entry = (byte)ExpectedTimes.Entry(backend.InFlight - 1);
        }
    }

    /// <summary>The backend that was chosen.</summary>
    public Backend Backend { get; }

    /// <summary>The backend has responded: its response time ends here.</summary>
    /// <returns>The time since the lease was taken.</returns>
    public TimeSpan ObserveResponse()
    {
        var elapsed = Backend.Health.Time.GetElapsedTime(_start);
        Backend.ResponseTime.Observe(elapsed);
        Backend.OutlierCounts?.ObserveTime(elapsed);
        Backend.Expected?.Observe(_entry, elapsed.TotalSeconds, ExpectedTimes.Milliseconds(Backend.Health.Time));
        if (EndAwaiting(elapsed))
        {
            _pool.RequestQueue.Serve();
        }
        return elapsed;
    }

    /// <summary>The wait for the backend was given up; its response would have taken at least as long.</summary>
    /// <returns>The time since the lease was taken.</returns>
    public TimeSpan ObserveNoResponse()
    {
        var elapsed = Backend.Health.Time.GetElapsedTime(_start);
        if (elapsed.TotalSeconds > Backend.ResponseTime.Seconds)
        {
            Backend.ResponseTime.Observe(elapsed);
        }
        Backend.OutlierCounts?.ObserveTime(elapsed);
        _hasNoResponse = true;
        Backend.Expected?.ObserveAtLeast(_entry, elapsed.TotalSeconds, ExpectedTimes.Milliseconds(Backend.Health.Time));
        EndAwaiting(elapsed);
        return elapsed;
    }

    /// <summary>Counts a response of the backend, after <see cref="Complete"/>.</summary>
    /// <param name="status">Its status code.</param>
    /// <param name="responseTime">The time until its head had arrived.</param>
    /// <param name="duration">The time from the arrival of the request to the end of the response.</param>
    public void CountAnswer(int status, TimeSpan responseTime, TimeSpan duration)
    {
        Backend.Answers.Count(status, responseTime, duration);
        if (Backend.OutlierCounts is { } outliers && Volatile.Read(ref _completed) == (int)AttemptOutcome.Succeeded + 1)
        {
            outliers.CountStatus(status);
        }
        _pool.Statistics.Instruments?.RecordRequest(_pool.Name, Backend.Name, status, duration);
    }

    /// <summary>Gives the lease back and reports the outcome to the pool. A second call has no effect.</summary>
    /// <param name="outcome">How the attempt ended.</param>
    /// <param name="reason">For a failure: what went wrong, in one short phrase for logs and status pages.</param>
    /// <param name="kind">For a failure: its kind; by default that which the outcome stands for.</param>
    public void Complete(AttemptOutcome outcome, string reason = "", FailureKind? kind = null)
    {
        if (Interlocked.CompareExchange(ref _completed, (int)outcome + 1, 0) == 0)
        {
            if (outcome is AttemptOutcome.ConnectFailed or AttemptOutcome.Failed)
            {
                Backend.CountFailure(kind ?? (outcome == AttemptOutcome.Failed ? FailureKind.Reset : FailureKind.Connect));
            }
            if (outcome is AttemptOutcome.ConnectFailed or AttemptOutcome.Failed && !_hasNoResponse)
            {
                // A backend that fails fast must not look fast.
                Backend.Expected?.Observe(_entry, _pool.FailureTime.TotalSeconds, ExpectedTimes.Milliseconds(Backend.Health.Time));
            }
            EndAwaiting(null);
            _pool.Return(Backend, outcome, reason);
        }
    }

    // After a failure the queue is served once the pool knows of it, and not before: see Complete.
    private bool EndAwaiting(TimeSpan? elapsed)
    {
        if (_awaiting == 0 || Interlocked.Exchange(ref _awaiting, 0) is not (> 0 and var awaiting))
        {
            return false;
        }
        Backend.EndAwaiting();
        _pool.EndAwaiting(Backend, elapsed, awaiting);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => Complete(AttemptOutcome.Abandoned);
}
