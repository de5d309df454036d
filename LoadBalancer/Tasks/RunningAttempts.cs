namespace LoadBalancer.Tasks;

/// <summary>
/// The attempts that workers are working on, and the timer that falls due when the oldest of them has taken too long. Guarded by the
/// dispatcher's gate.
/// </summary>
internal sealed class RunningAttempts : IDisposable
{
    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);

    private readonly LinkedQueue<TaskAttempt> _attempts = new(static attempt => ref attempt.Running); // the oldest first
    private readonly TimeProvider _time;
    private readonly ITimer _timer;
    private TimeSpan _timeout;
    private bool _isTimerSet;

    /// <summary>Creates it without attempts.</summary>
    /// <param name="timeout">How long an attempt may take.</param>
    /// <param name="time">The clock.</param>
    /// <param name="due">Called, without the gate, when an attempt may have taken too long.</param>
    public RunningAttempts(TimeSpan timeout, TimeProvider time, Action due)
    {
        (_timeout, _time) = (timeout, time);
        _timer = time.CreateTimer(_ => due(), null, System.Threading.Timeout.InfiniteTimeSpan, System.Threading.Timeout.InfiniteTimeSpan);
    }

    /// <summary>The number of attempts.</summary>
    public int Count => _attempts.Count;

    /// <summary>How long an attempt may take.</summary>
    public TimeSpan Timeout
    {
        get => _timeout;
        set
        {
            _timeout = value;
            SetTimer(again: true);
        }
    }

    /// <summary>Adds an attempt, which begins now.</summary>
    public void Add(TaskAttempt attempt)
    {
        _attempts.AddLast(attempt);
        SetTimer();
    }

    /// <summary>Removes an attempt that has ended.</summary>
    public void Remove(TaskAttempt attempt) => _attempts.Remove(attempt);

    /// <summary>Removes all attempts that have taken too long, the oldest first, and waits for the next one.</summary>
    public List<TaskAttempt> TakeOverdue()
    {
        var overdue = new List<TaskAttempt>();
        while (_attempts.First is { } oldest && _time.GetElapsedTime(oldest.StartedAt) >= _timeout)
        {
            _attempts.Remove(oldest);
            oldest.IsOverdue = true;
            overdue.Add(oldest);
        }
        SetTimer(again: true);
        return overdue;
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private void SetTimer(bool again = false)
    {
        if (again)
        {
            _isTimerSet = false;
        }
        if (!_isTimerSet && _attempts.First is { } oldest)
        {
            _isTimerSet = true;
            var left = _timeout - _time.GetElapsedTime(oldest.StartedAt);
            _timer.Change(left > ShortestWait ? left : ShortestWait, System.Threading.Timeout.InfiniteTimeSpan);
        }
    }
}
