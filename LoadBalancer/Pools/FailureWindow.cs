namespace LoadBalancer.Pools;

/// <summary>
/// Counts the failed attempts at one backend, and decides whether they are too many in a row, or too large a share of all attempts in
/// a window of time. The window begins with a failure, so that successes, which are on the request path, need not be recorded: their
/// number is the growth of the backend's attempts since then. Guarded by the lock of <see cref="BackendHealth"/>, except
/// <see cref="EndRun"/>.
/// </summary>
internal sealed class FailureWindow(TimeProvider time)
{
    private int _run;             // consecutive failures
    private long _runStart;       // timestamp of the first of them
    private int _failures;        // in the window
    private long _windowStart;    // timestamp of its first failure
    private long _attemptsBefore; // attempts before that

    /// <summary>What has happened, in words for logs and status pages.</summary>
    public string Summary { get; private set; } = "";

    /// <summary>Counts a failure.</summary>
    /// <param name="rules">The limits.</param>
    /// <param name="attempts">The total number of attempts at the backend.</param>
    /// <param name="reason">What went wrong.</param>
    /// <returns>Whether a limit is reached.</returns>
    public bool AddNeedsLock(HealthRules rules, long attempts, string reason)
    {
        var now = time.GetTimestamp();
        if (_run == 0 || time.GetElapsedTime(_runStart, now) > rules.Window)
        {
            (_run, _runStart) = (0, now);
        }
        if (_failures == 0 || time.GetElapsedTime(_windowStart, now) > rules.Window)
        {
            (_failures, _windowStart, _attemptsBefore) = (0, now, attempts - 1);
        }
        _run++;
        _failures++;
        var all = Math.Max(attempts - _attemptsBefore, _failures);
        if (_run >= rules.Failures)
        {
            Summary = $"{_run} failures in a row, last: {reason}";
            return true;
        }
        if (all >= rules.LeastAttempts && _failures >= rules.FailureShare * all)
        {
            Summary = $"{_failures} of {all} attempts failed, last: {reason}";
            return true;
        }
        return false;
    }

    /// <summary>An attempt has succeeded. Takes no lock: a failure at the same instant may be counted before or after it.</summary>
    public void EndRun()
    {
        if (Volatile.Read(ref _run) != 0)
        {
            Volatile.Write(ref _run, 0);
        }
    }

    /// <summary>Resets all counts.</summary>
    public void ClearNeedsLock() => (_run, _failures) = (0, 0);
}
