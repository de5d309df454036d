namespace LoadBalancer.Pools;

/// <summary>
/// The observed health of one backend. Each source has a state of its own, so that none overwrites what another one saw; the backend is
/// up if no source says down:
/// <code>
///   probe \ attempts   up      ejected
///   pending            down    down
///   up                 up      down
///   down               down    down
/// </code>
/// and it is down in any case while expected heartbeats do not come. A source that is not configured stays up. Every <c>Observe…</c>
/// returns what has changed: only a flip is worth a log line or a new snapshot.
/// </summary>
public sealed class BackendHealth
{
    private readonly FailureWindow _failures;
    private readonly Lock _gate = new();

    private HealthRules _rules;
    private SourceState _probe;
    private string _probeReason = "";
    private int _probeStreak;           // consecutive probe results that contradict _probe
    private bool _isSilent;             // heartbeats are expected, and none come
    private string _heartbeatReason = "";
    private bool _ejected;
    private bool _ejectedForFailures;   // rather than because it could not be connected to
    private bool _ejectedAsOutlier;     // for failures, and in comparison with the others of the pool
    private string _ejectionReason = "";
    private int _ejections;             // how many followed each other soon
    private long _ejectionEnd;          // timestamp of the end of the last one, in future while it lasts
    private volatile SourceState _state;  // of all sources together

    /// <summary>
    /// The health of a new backend: down if heartbeats are expected, else pending if probes run, else up. If something was observed already
    /// at its address, probes and heartbeats go on from there.
    /// </summary>
    /// <param name="rules">When observations turn into a change.</param>
    /// <param name="time">The clock.</param>
    /// <param name="known">The health of a backend of another pool at the same address; null if there is none.</param>
    public BackendHealth(HealthRules rules, TimeProvider time, BackendHealth? known = null)
    {
        _rules = rules;
        Time = time;
        _failures = new FailureWindow(time);
        _probe = rules.Probed ? SourceState.Pending : SourceState.Up;
        (_isSilent, _heartbeatReason) = (rules.Heartbeats, "no heartbeat yet");
        if (known is not null)
        {
            lock (known._gate)
            {
                if (rules.Probed && known._rules.Probed)
                {
                    (_probe, _probeReason) = (known._probe, known._probeReason);
                }
                if (rules.Heartbeats && known._rules.Heartbeats)
                {
                    (_isSilent, _heartbeatReason) = (known._isSilent, known._heartbeatReason);
                }
            }
        }
        _state = CombineNeedsLock();
    }

    private enum SourceState { Pending, Up, Down }

    /// <summary>Whether no source says that the backend is down.</summary>
    public bool IsUp => _state == SourceState.Up;

    /// <summary>Whether the first probe is still under way.</summary>
    public bool IsPending => _state == SourceState.Pending;

    /// <summary>Whether it is ejected only because attempts failed, which does not prove that it is down.</summary>
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

    /// <summary>Whether it is ejected because the others of its pool did better.</summary>
    public bool IsOutAsOutlier
    {
        get
        {
            lock (_gate)
            {
                return _ejected && _ejectedAsOutlier;
            }
        }
    }

    /// <summary>How long the latest ejection lasts.</summary>
    public TimeSpan EjectionTime { get; private set; }

    /// <summary>How much of the latest ejection is left; zero where it is over.</summary>
    public TimeSpan EjectionLeft
    {
        get
        {
            lock (_gate)
            {
                return _ejected && Time.GetElapsedTime(Time.GetTimestamp(), _ejectionEnd) is var left && left > TimeSpan.Zero
                    ? left : TimeSpan.Zero;
            }
        }
    }

    /// <summary>Why the backend is down, or why it came up last; one short phrase for logs and status pages.</summary>
    public string Reason
    {
        get
        {
            lock (_gate)
            {
                return _isSilent ? _heartbeatReason
                    : _probe == SourceState.Pending ? "not probed yet"
                    : _probe == SourceState.Down ? _probeReason
                    : _ejected ? _ejectionReason
                    : _probeReason.Length > 0 || !_rules.Heartbeats ? _probeReason
                    : _heartbeatReason;
            }
        }
    }

    /// <summary>The latest probe; null where none has ended yet.</summary>
    public ProbeReport? LastProbe { get; private set; }

    /// <summary>The clock.</summary>
    internal TimeProvider Time { get; }

    /// <summary>What is known, for the process that replaces this one.</summary>
    internal KnownHealth ToKnown()
    {
        lock (_gate)
        {
            var sinceEjection = Time.GetElapsedTime(_ejectionEnd).TotalSeconds;
            return new KnownHealth
            {
                IsProbedUp = !_rules.Probed || _probe == SourceState.Pending ? null : _probe == SourceState.Up,
                ProbeReason = _probeReason,
                IsSilent = _rules.Heartbeats ? _isSilent : null,
                HeartbeatReason = _heartbeatReason,
                EjectionLeft = _ejected ? Math.Max(0, -sinceEjection) : null,
                Ejection = EjectionTime.TotalSeconds,
                IsEjectedForFailures = _ejectedForFailures,
                IsEjectedAsOutlier = _ejectedAsOutlier,
                EjectionReason = _ejectionReason,
                Ejections = _ejections,
                SinceEjection = sinceEjection,
            };
        }
    }

    /// <summary>
    /// Goes on from what another process knew, as far as the rules are the same; before the backend joins its pool. An ejection must be
    /// ended after <see cref="EjectionLeft"/>.
    /// </summary>
    internal void Restore(KnownHealth known)
    {
        lock (_gate)
        {
            if (_rules.Probed && known.IsProbedUp is { } isUp)
            {
                SetProbeNeedsLock(isUp ? SourceState.Up : SourceState.Down, known.ProbeReason ?? "");
            }
            if (_rules.Heartbeats && known.IsSilent is { } isSilent)
            {
                (_isSilent, _heartbeatReason) = (isSilent, known.HeartbeatReason ?? "");
            }
            EjectionTime = Seconds(known.Ejection);
            _ejections = Math.Max(0, known.Ejections);
            _ejected = known.EjectionLeft is > 0;
            (_ejectedForFailures, _ejectedAsOutlier) = (known.IsEjectedForFailures, known.IsEjectedAsOutlier);
            _ejectionReason = known.EjectionReason ?? "";
            SetEjectionEndNeedsLock(Seconds(known.EjectionLeft ?? -known.SinceEjection));
            _state = CombineNeedsLock();
        }

        // Of another process: nothing that a clock or a timer cannot take.
        static TimeSpan Seconds(double seconds) =>
            double.IsNaN(seconds) ? TimeSpan.Zero : TimeSpan.FromSeconds(Math.Clamp(seconds, -1e6, 1e6));
    }

    /// <summary>
    /// Applies other rules; what was observed stays. But a backend that is no longer probed is not down because of a probe, and one whose
    /// heartbeats are no longer expected is not down because none come. If heartbeats are expected from now on, the first one has time.
    /// </summary>
    internal HealthChanges SetRules(HealthRules rules)
    {
        lock (_gate)
        {
            if (_rules.Probed && !rules.Probed)
            {
                SetProbeNeedsLock(SourceState.Up, "no longer probed");
            }
            if (_rules.Heartbeats && !rules.Heartbeats)
            {
                _isSilent = false;
            }
            _rules = rules;
            return PublishNeedsLock();
        }
    }

    /// <summary>Records the result of one probe.</summary>
    /// <param name="succeeded">Whether the backend is healthy.</param>
    /// <param name="reason">Why, for logs and status pages.</param>
    /// <param name="isCertain">Whether this one result is enough.</param>
    public HealthChanges ObserveProbe(bool succeeded, string reason, bool isCertain = false)
    {
        lock (_gate)
        {
            LastProbe = new ProbeReport(Time.GetUtcNow(), succeeded, reason);
            var observed = succeeded ? SourceState.Up : SourceState.Down;
            if (_probe == observed)
            {
                _probeStreak = 0;
                _probeReason = reason;
                return HealthChanges.None;
            }
            var needed = _probe == SourceState.Pending || isCertain ? 1 : succeeded ? _rules.Rise : _rules.Fall;
            if (++_probeStreak < needed)
            {
                return HealthChanges.None;
            }
            SetProbeNeedsLock(observed, reason);
            return PublishNeedsLock();
        }
    }

    /// <summary>Records a sign of life, or that none came in time; no effect if heartbeats are not expected.</summary>
    public HealthChanges ObserveHeartbeat(bool isAlive, string reason)
    {
        lock (_gate)
        {
            if (!_rules.Heartbeats)
            {
                return HealthChanges.None;
            }
            (_isSilent, _heartbeatReason) = (!isAlive, reason);
            return PublishNeedsLock();
        }
    }

    /// <summary>Records how one attempt at the backend ended.</summary>
    /// <param name="outcome">How it ended.</param>
    /// <param name="reason">What went wrong.</param>
    /// <param name="attempts">The total number of attempts at the backend.</param>
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
                    return _failures.AddNeedsLock(_rules, attempts, reason) ? HealthChanges.Ejectable : HealthChanges.None;
                }
        }
    }

    /// <summary>
    /// Ejects the backend because of the failures that <see cref="HealthChanges.Ejectable"/> reported. If it was back for a shorter time
    /// than its last ejection lasted, the new ejection lasts twice as long (as Envoy's outlier detection does, but with doubling).
    /// </summary>
    /// <param name="outlier">Why it is an outlier, where it is ejected for that.</param>
    public HealthChanges Eject(string? outlier = null)
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
            var duration = factor > _rules.LongestEjection / _rules.Ejection ? LongestNeedsLock() : _rules.Ejection * factor;
            _ejectedAsOutlier = outlier is not null;
            return EjectNeedsLock(outlier ?? _failures.Summary, true, duration);
        }
    }

    /// <summary>Ends the ejection of the backend; its time is over.</summary>
    public HealthChanges EndEjection()
    {
        lock (_gate)
        {
            _ejected = false;
            _ejectionEnd = Time.GetTimestamp();
            _failures.ClearNeedsLock();
            if (_probe == SourceState.Up)
            {
                _probeReason = "ejection is over";
            }
            return PublishNeedsLock();
        }
    }

    // A refused connection proves as much as a failed probe, without waiting for Fall. If probes run, one of them brings the backend
    // back. If not, time does, always the same time: another refused connection costs nothing.
    private HealthChanges ObserveConnectFailure(string reason)
    {
        lock (_gate)
        {
            if (_rules.Probed)
            {
                SetProbeNeedsLock(SourceState.Down, reason);
                return PublishNeedsLock();
            }
            if (_ejected)
            {
                return HealthChanges.None;
            }
            _ejectedAsOutlier = false;
            return EjectNeedsLock(reason, false, _rules.Ejection);
        }
    }

    private HealthChanges EjectNeedsLock(string reason, bool forFailures, TimeSpan duration)
    {
        (_ejected, _ejectedForFailures, _ejectionReason, EjectionTime) = (true, forFailures, reason, duration);
        SetEjectionEndNeedsLock(duration);
        return HealthChanges.Ejected | PublishNeedsLock();
    }

    private void SetEjectionEndNeedsLock(TimeSpan left) =>
        _ejectionEnd = Time.GetTimestamp() + (long)Math.Round(left.TotalSeconds * Time.TimestampFrequency);

    private TimeSpan LongestNeedsLock() => _rules.LongestEjection > _rules.Ejection ? _rules.LongestEjection : _rules.Ejection;

    private void SetProbeNeedsLock(SourceState state, string reason) => (_probe, _probeReason, _probeStreak) = (state, reason, 0);

    // The end of "pending" is a change too, in either direction.
    private HealthChanges PublishNeedsLock()
    {
        var (before, now) = (_state, CombineNeedsLock());
        _state = now;
        return before == now ? HealthChanges.None : HealthChanges.Flipped;
    }

    private SourceState CombineNeedsLock() => _isSilent || _probe == SourceState.Up && _ejected ? SourceState.Down : _probe;
}
