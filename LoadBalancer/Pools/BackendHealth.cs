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
/// and down without regard to that while no heartbeats come. Where no probes run, the probe slot stays up, as does the slot of
/// heartbeats where none are wanted. Every <c>Observe…</c> returns what changed: only a flip is worth a log line or a
/// new snapshot.
/// </summary>
public sealed class BackendHealth
{
    private readonly FailureWindow _failures;
    private readonly Lock _gate = new();

    private HealthRules _rules;
    private SlotState _probe;
    private string _probeReason = "";
    private int _probeStreak;           // consecutive probe results that contradict _probe
    private bool _isSilent;             // heartbeats are wanted, and none come
    private string _heartbeatReason = "";
    private bool _ejected;
    private bool _ejectedForFailures;   // rather than because it could not be connected to
    private string _ejectionReason = "";
    private int _ejections;             // that followed each other soon
    private long _ejectionEnd;          // timestamp of the last one's
    private volatile SlotState _state;  // all slots together

    /// <summary>Health of a new backend: down where heartbeats are wanted, else pending where probes run, up where none do.</summary>
    public BackendHealth(HealthRules rules, TimeProvider time)
    {
        _rules = rules;
        Time = time;
        _failures = new FailureWindow(time);
        _probe = rules.Probed ? SlotState.Pending : SlotState.Up;
        (_isSilent, _heartbeatReason) = (rules.Heartbeats, "no heartbeat yet");
        _state = CombinedState();
    }

    private enum SlotState { Pending, Up, Down }

    /// <summary>Whether no source says that the backend is down.</summary>
    public bool IsUp => _state == SlotState.Up;

    /// <summary>Whether the first probe is still under way.</summary>
    public bool IsPending => _state == SlotState.Pending;

    /// <summary>Whether it is out for no other reason than that attempts failed: nobody has proved that it is gone.</summary>
    public bool IsOutForFailures
    {
        get
        {
            lock (_gate)
            {
                return _ejected && _ejectedForFailures;
            }
        }
    }

    /// <summary>How long the ejection lasts that was begun last.</summary>
    public TimeSpan EjectionTime { get; private set; }

    /// <summary>Why the backend is down, or what the last change to up was; one short phrase for people.</summary>
    public string Reason
    {
        get
        {
            lock (_gate)
            {
                return _isSilent ? _heartbeatReason
                    : _probe == SlotState.Pending ? "not probed yet"
                    : _probe == SlotState.Down ? _probeReason
                    : _ejected ? _ejectionReason
                    : _probeReason.Length > 0 || !_rules.Heartbeats ? _probeReason
                    : _heartbeatReason;
            }
        }
    }

    /// <summary>The clock.</summary>
    internal TimeProvider Time { get; }

    /// <summary>
    /// Other rules hold from now on; what was observed stays, but that a backend that is no longer probed is not down by a probe, nor one
    /// whose heartbeats are no longer wanted by their absence. Where they are wanted from now on, there is time for the first one.
    /// </summary>
    internal HealthChanges SetRules(HealthRules rules)
    {
        lock (_gate)
        {
            if (_rules.Probed && !rules.Probed)
            {
                SetProbe(SlotState.Up, "no longer probed");
            }
            if (_rules.Heartbeats && !rules.Heartbeats)
            {
                _isSilent = false;
            }
            _rules = rules;
            return Publish();
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

    /// <summary>Takes in a sign of life, or that none came in time; only where heartbeats are wanted.</summary>
    public HealthChanges ObserveHeartbeat(bool isAlive, string reason)
    {
        lock (_gate)
        {
            if (!_rules.Heartbeats)
            {
                return HealthChanges.None;
            }
            (_isSilent, _heartbeatReason) = (!isAlive, reason);
            return Publish();
        }
    }

    /// <summary>Takes in how one attempt at the backend ended.</summary>
    /// <param name="outcome">How it ended.</param>
    /// <param name="reason">What went wrong.</param>
    /// <param name="attempts">How many attempts the backend has had in all.</param>
    public HealthChanges ObserveAttempt(AttemptOutcome outcome, string reason, long attempts)
    {
        switch (outcome)
        {
            case AttemptOutcome.Abandoned:
                return HealthChanges.None;
            case AttemptOutcome.Succeeded:
                _failures.EndRun(); // the request path: no lock
                return HealthChanges.None;
            case AttemptOutcome.ConnectFailed:
                return ObserveConnectFailure(reason);
            default:
                lock (_gate)
                {
                    return _failures.Add(_rules, attempts, reason) ? HealthChanges.Ejectable : HealthChanges.None;
                }
        }
    }

    /// <summary>
    /// Takes the backend out, because of the failures that <see cref="HealthChanges.Ejectable"/> told of. Each time that follows the
    /// last one before it has been back for as long as it was out, it is out for twice as long (as Envoy's outlier detection has it,
    /// but with doubling).
    /// </summary>
    public HealthChanges Eject()
    {
        lock (_gate)
        {
            if (_ejected)
            {
                return HealthChanges.None;
            }
            if (_ejections > 0 && Time.GetElapsedTime(_ejectionEnd) > EjectionTime)
            {
                _ejections = 0;
            }
            var factor = Math.Pow(2, _ejections++);
            return Eject(_failures.Summary, true, factor > _rules.LongestEjection / _rules.Ejection ? Longest() : _rules.Ejection * factor);
        }
    }

    /// <summary>Lets an ejected backend back in; its time is over.</summary>
    public HealthChanges EndEjection()
    {
        lock (_gate)
        {
            _ejected = false;
            _ejectionEnd = Time.GetTimestamp();
            _failures.Clear();
            if (_probe == SlotState.Up)
            {
                _probeReason = "ejection is over";
            }
            return Publish();
        }
    }

    // A refused connect proves as much as a failed probe, without waiting for Fall: where probes run, one of them brings the
    // backend back; where none do, time does, always the same: to try costs nobody anything.
    private HealthChanges ObserveConnectFailure(string reason)
    {
        lock (_gate)
        {
            if (_rules.Probed)
            {
                SetProbe(SlotState.Down, reason);
                return Publish();
            }
            return _ejected ? HealthChanges.None : Eject(reason, false, _rules.Ejection);
        }
    }

    private HealthChanges Eject(string reason, bool forFailures, TimeSpan duration)
    {
        (_ejected, _ejectedForFailures, _ejectionReason, EjectionTime) = (true, forFailures, reason, duration);
        return HealthChanges.Ejected | Publish();
    }

    private TimeSpan Longest() => _rules.LongestEjection > _rules.Ejection ? _rules.LongestEjection : _rules.Ejection;

    private void SetProbe(SlotState state, string reason) => (_probe, _probeReason, _probeStreak) = (state, reason, 0);

    // The end of "pending" is news too, whichever way it goes.
    private HealthChanges Publish()
    {
        var (before, now) = (_state, CombinedState());
        _state = now;
        return before == now ? HealthChanges.None : HealthChanges.Flipped;
    }

    private SlotState CombinedState() => _isSilent || _probe == SlotState.Up && _ejected ? SlotState.Down : _probe;
}
