using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A <see cref="FakeTimeProvider"/> with what that one cannot do: it says which timers are armed, so that a test lets time pass only when
/// something waits for it; each timer sees the time at which it fell due, and not the end of the step; and an operator may change the time
/// of day while no time passes. Tests that need none of these use <see cref="FakeTimeProvider"/>.
/// </summary>
internal sealed class FakeClock : FakeTimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<WatchedTimer> _armed = [];
    private TimeSpan _changed;

    public FakeClock()
        : base(new DateTimeOffset(2025, 1, 1, 0, 0, 0, TimeSpan.Zero))
    {
    }

    /// <summary>How long until the next timer falls due; null where none is armed.</summary>
    public TimeSpan? UntilNextTimer
    {
        get
        {
            lock (_gate)
            {
                return _armed.Count == 0 ? null : TimeSpan.FromTicks(_armed.Min(timer => timer.Due) - GetTimestamp());
            }
        }
    }

    /// <summary>How many timers fall due within a time.</summary>
    public int TimersWithin(TimeSpan time)
    {
        lock (_gate)
        {
            return _armed.Count(timer => timer.Due - GetTimestamp() <= time.Ticks);
        }
    }

    /// <summary>Lets time pass, from one timer to the next.</summary>
    public new void Advance(TimeSpan by)
    {
        var end = GetTimestamp() + by.Ticks;
        for (var now = GetTimestamp(); now < end; now = GetTimestamp())
        {
            long next;
            lock (_gate)
            {
                next = _armed.Select(timer => timer.Due).Where(due => due > now).Append(end).Min();
            }
            base.Advance(TimeSpan.FromTicks(Math.Min(next, end) - now));
        }
    }

    /// <summary>Changes the time of day, back where it is negative; no time passes.</summary>
    public void ChangeTimeOfDay(TimeSpan by)
    {
        _changed += by;
        AdjustTime(GetUtcNow() + by);
    }

    public override long GetTimestamp() => base.GetTimestamp() - _changed.Ticks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new WatchedTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private ITimer CreateUnwatched(TimerCallback callback) =>
        base.CreateTimer(callback, null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    private sealed class WatchedTimer : ITimer
    {
        private readonly FakeClock _clock;
        private readonly ITimer _timer;
        private TimeSpan _period;

        public WatchedTimer(FakeClock clock, TimerCallback callback, object? state)
        {
            _clock = clock;
            _timer = clock.CreateUnwatched(_ =>
            {
                Move();
                callback(state);
            });
        }

        /// <summary>When it falls due, as a timestamp.</summary>
        public long Due { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (_clock._gate)
            {
                _clock._armed.Remove(this);
                _period = period;
                if (dueTime != Timeout.InfiniteTimeSpan)
                {
                    Due = _clock.GetTimestamp() + dueTime.Ticks;
                    _clock._armed.Add(this);
                }
            }
            return _timer.Change(dueTime, period);
        }

        public void Dispose()
        {
            lock (_clock._gate)
            {
                _clock._armed.Remove(this);
            }
            _timer.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        // The timer has fired, unless it was set again meanwhile.
        private void Move()
        {
            lock (_clock._gate)
            {
                if (Due > _clock.GetTimestamp())
                {
                    return;
                }
                if (_period > TimeSpan.Zero)
                {
                    Due += _period.Ticks;
                }
                else
                {
                    _clock._armed.Remove(this);
                }
            }
        }
    }
}
