namespace LoadBalancer.Pools;

/// <summary>
/// What was observed of one backend. Each source has a slot of its own, so none overwrites what another saw; the backend is up
/// when no slot says down:
/// <code>
///   probe \ attempts   up      ejected
///   pending            down    down
///   up                 up      down
///   down               down    down
/// </code>
/// Where no probes run, the probe slot stays up. Every <c>Observe…</c> returns what changed: only a flip is worth a log line or a
/// new snapshot.
/// </summary>
public sealed class BackendHealth
{
    private readonly HealthRules _rules;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();

    private SlotState _probe;
    private string _probeReason = "";
    private int _probeStreak;           // consecutive probe results that contradict _probe
    private bool _ejected;
    private string _ejectionReason = "";
    private int _failureRun;            // consecutive failed attempts
    private long _failureRunStart;      // timestamp of the first of them
    private volatile SlotState _state;  // both slots together

    /// <summary>Health of a new backend: pending where probes run, up where none do.</summary>
    public BackendHealth(HealthRules rules, TimeProvider time)
    {
        _rules = rules;
        _time = time;
        _probe = rules.Probed ? SlotState.Pending : SlotState.Up;
        _state = _probe;
    }

    private enum SlotState { Pending, Up, Down }

    /// <summary>Whether no source says that the backend is down.</summary>
    public bool IsUp => _state == SlotState.Up;

    /// <summary>Whether the first probe is still under way.</summary>
    public bool IsPending => _state == SlotState.Pending;

    /// <summary>Why the backend is down, or what the last change to up was; one short phrase for people.</summary>
    public string Reason
    {
        get
        {
            lock (_gate)
            {
                return _probe == SlotState.Pending ? "not probed yet"
                    : _probe == SlotState.Down ? _probeReason
                    : _ejected ? _ejectionReason
                    : _probeReason;
            }
        }
    }

    /// <summary>Takes in the result of one probe.</summary>
    public HealthChanges ObserveProbe(bool succeeded, string reason)
    {
        lock (_gate)
        {
            var observed = succeeded ? SlotState.Up : SlotState.Down;
            if (_probe == observed)
            {
                _probeStreak = 0;
                _probeReason = reason;
                return HealthChanges.None;
            }
            var needed = _probe == SlotState.Pending ? 1 : succeeded ? _rules.Rise : _rules.Fall;
            if (++_probeStreak < needed)
            {
                return HealthChanges.None;
            }
            SetProbe(observed, reason);
            return Publish();
        }
    }

    /// <summary>Takes in how one attempt at the backend ended.</summary>
    public HealthChanges ObserveAttempt(AttemptOutcome outcome, string reason)
    {
        switch (outcome)
        {
            case AttemptOutcome.Succeeded when Volatile.Read(ref _failureRun) == 0: // the request path: no lock
            case AttemptOutcome.Abandoned:
                return HealthChanges.None;
            case AttemptOutcome.Succeeded:
                Volatile.Write(ref _failureRun, 0);
                return HealthChanges.None;
            case AttemptOutcome.ConnectFailed:
                return ObserveConnectFailure(reason);
            default:
                return ObserveFailure(reason);
        }
    }

    /// <summary>Lets an ejected backend back in; its time is over.</summary>
    public HealthChanges EndEjection()
    {
        lock (_gate)
        {
            _ejected = false;
            _failureRun = 0;
            if (_probe == SlotState.Up)
            {
                _probeReason = "ejection is over";
            }
            return Publish();
        }
    }

    // A refused connect proves as much as a failed probe, without waiting for Fall: where probes run, one of them brings the
    // backend back; where none do, time does.
    private HealthChanges ObserveConnectFailure(string reason)
    {
        lock (_gate)
        {
            if (_rules.Probed)
            {
                SetProbe(SlotState.Down, reason);
                return Publish();
            }
            return Eject(reason);
        }
    }

    private HealthChanges ObserveFailure(string reason)
    {
        lock (_gate)
        {
            var now = _time.GetTimestamp();
            if (_failureRun == 0 || _time.GetElapsedTime(_failureRunStart, now) > _rules.Window)
            {
                (_failureRun, _failureRunStart) = (0, now);
            }
            return ++_failureRun < _rules.Failures
                ? HealthChanges.None
                : Eject($"{_failureRun} failures in a row, last: {reason}");
        }
    }

    private HealthChanges Eject(string reason)
    {
        var changes = _ejected ? HealthChanges.None : HealthChanges.Ejected;
        (_ejected, _ejectionReason) = (true, reason);
        return changes | Publish();
    }

    private void SetProbe(SlotState state, string reason) => (_probe, _probeReason, _probeStreak) = (state, reason, 0);

    // The end of "pending" is news too, whichever way it goes.
    private HealthChanges Publish()
    {
        var (before, now) = (_state, CombinedState());
        _state = now;
        return before == now ? HealthChanges.None : HealthChanges.Flipped;
    }

    private SlotState CombinedState() => _probe == SlotState.Up && _ejected ? SlotState.Down : _probe;
}
