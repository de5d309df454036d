using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>The answer to a datagram.</summary>
internal enum HeartbeatAnswer
{
    /// <summary>No answer.</summary>
    None,

    /// <summary><c>OK</c>: the backend is registered.</summary>
    Ok,

    /// <summary><c>AUTH</c>: the backend must register.</summary>
    Auth,
}

/// <summary>
/// Turns datagrams into what a pool must know: which backends are alive, which have fallen silent, and how busy each is. Owns no socket
/// and no timer: <see cref="TakeIn"/> is called with each datagram, <see cref="Tick"/> ten times a second.
/// </summary>
internal sealed partial class HeartbeatMonitor : IDisposable
{
    /// <summary>How often <see cref="Tick"/> must be called.</summary>
    public static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(100);

    // A backend that sends once a second and loses one datagram is heard again just when the time-out of two seconds ends, so it gets a
    // little more. With one tick, and one late tick, that stays below the half second within which silence must be noticed.
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(200);

    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new(); // held for a datagram, for a tick, for a change of the configuration
    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly HeartbeatRegister _register;
    private readonly ReplayMemory _replays;
    private readonly AnswerLimit _answers;
    private HeartbeatOptions _options = new();
    private IReadOnlyDictionary<string, BackendOptions> _backends = new Dictionary<string, BackendOptions>();
    private HeartbeatSignature? _signature;
    private long _tickedAt;
    private bool _isLate;
    private bool _isDisposed; // a tick or a datagram may have been under way
    private long _loggedAt;
    private IReadOnlyList<(HeartbeatResult Result, long Count)> _logged = [];
    private IpPort _lastRejected;

    /// <summary>Watches the heartbeats of a pool; nothing is expected before <see cref="Apply"/>.</summary>
    public HeartbeatMonitor(BackendPool pool, TimeProvider time, ILogger logger)
    {
        (_pool, _time, _logger) = (pool, time, logger);
        (_register, _replays, _answers) = (new HeartbeatRegister(time), new ReplayMemory(time), new AnswerLimit(time));
        _tickedAt = time.GetTimestamp();
        _loggedAt = _tickedAt - (long)(LogInterval.TotalSeconds * time.TimestampFrequency);
        pool.MembersChanged += OnMembersChanged;
    }

    /// <summary>The pool's name.</summary>
    public string PoolName => _pool.Name;

    /// <summary>Counts the datagrams by what became of them.</summary>
    public HeartbeatStatistics Statistics { get; } = new();

    /// <summary>Applies other options. What is known of a backend stays, unless its addresses have changed.</summary>
    /// <param name="options">The pool's options.</param>
    /// <param name="backends">What the configuration says about its backends, by name.</param>
    public void Apply(HeartbeatOptions options, IReadOnlyDictionary<string, BackendOptions> backends)
    {
        lock (_gate)
        {
            if (options.Key != _options.Key)
            {
                _signature = options.Key is { } key ? new HeartbeatSignature(HeartbeatOptions.KeyOf(key)!, _time) : null;
            }
            (_options, _backends) = (options, backends);
            SetMembersNeedsLock();
        }
    }

    /// <summary>
    /// Datagrams arrive from now on. Before this nothing could, so silence is counted anew: a start may take longer than the time-out.
    /// </summary>
    public void Begin()
    {
        lock (_gate)
        {
            _tickedAt = _time.GetTimestamp();
            foreach (var member in _register.Members)
            {
                member.SeenAt = _tickedAt;
            }
        }
    }

    /// <summary>Handles a datagram, whatever it contains.</summary>
    /// <param name="datagram">The datagram; one that is too long may be cut, as long as the rest is too long itself.</param>
    /// <param name="source">The address from which it came.</param>
    public HeartbeatAnswer TakeIn(ReadOnlySpan<byte> datagram, IpPort source)
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return HeartbeatAnswer.None;
            }
            var result = HandleNeedsLock(datagram, source);
            Statistics.Count(result);
            if (result > HeartbeatResult.Registered)
            {
                _lastRejected = source;
            }
            return result switch
            {
                HeartbeatResult.Registered => HeartbeatAnswer.Ok,
                HeartbeatResult.Auth => HeartbeatAnswer.Auth,
                _ => HeartbeatAnswer.None,
            };
        }
    }

    /// <summary>Writes an answer, signed if the pool has a key.</summary>
    /// <returns>The length of the answer in bytes.</returns>
    public int Write(HeartbeatAnswer answer, Span<byte> into)
    {
        var text = answer == HeartbeatAnswer.Ok ? "OK"u8 : "AUTH"u8;
        lock (_gate)
        {
            if (_signature is null)
            {
                text.CopyTo(into);
                return text.Length;
            }
            var length = _signature.Sign(text, into, out var signed);
            _replays.TakeIn(signed, ReplayMemory.Ourselves);
            return length;
        }
    }

    /// <summary>Takes down backends that have been silent for too long, and publishes changed loads.</summary>
    public void Tick()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }
            // If this process itself was suspended, datagrams may be waiting to be read, and they come first. But if every tick is late,
            // silence must be noticed all the same.
            var wasLate = _isLate;
            _isLate = _time.GetElapsedTime(_tickedAt) > 2 * TickInterval;
            _tickedAt = _time.GetTimestamp();
            foreach (var member in _register.Members)
            {
                if ((!_isLate || wasLate) && member.State != HeartbeatState.Silent
                    && _time.GetElapsedTime(member.SeenAt) >= _options.Timeout + Grace)
                {
                    var reason = member.State == HeartbeatState.Awaited
                        ? "no heartbeat yet"
                        : string.Create(CultureInfo.InvariantCulture, $"no heartbeat for {_options.Timeout.TotalSeconds} s");
                    member.State = HeartbeatState.Silent;
                    _pool.ObserveHeartbeat(member.Backend, isAlive: false, reason);
                }
            }
            // Not with each datagram: a sender could otherwise make the pool publish all the time.
            if (_register.Members.Any(member => member.Load != member.Backend.Load))
            {
                _pool.Change(() =>
                {
                    foreach (var member in _register.Members)
                    {
                        member.Backend.Load = member.Load;
                    }
                });
            }
            LogRejectedNeedsLock();
        }
    }

    /// <summary>Heartbeats are no longer expected: no load that a backend has reported counts any more.</summary>
    public void Dispose()
    {
        _pool.MembersChanged -= OnMembersChanged;
        lock (_gate)
        {
            _isDisposed = true;
            ClearLoadsNeedsLock(_register.Members);
        }
    }

    private HeartbeatResult HandleNeedsLock(ReadOnlySpan<byte> datagram, IpPort source)
    {
        if (datagram.Length > HeartbeatMessage.MaxBytes)
        {
            return HeartbeatResult.TooLong;
        }
        var signed = new SignedText(datagram, 0, 0);
        if (_signature?.Verify(signed.Text, out signed) is { } fault)
        {
            return fault;
        }
        var message = HeartbeatMessage.Parse(signed.Text);
        switch (message.Kind)
        {
            case HeartbeatKind.Registration:
                if (_register.Find(message, source) is not { } registered)
                {
                    return HeartbeatResult.Unknown;
                }
                if (_signature is not null && _replays.TakeIn(signed, ReplayMemory.UnknownSender) is { } copied)
                {
                    return copied;
                }
                _register.Register(registered, source);
                MarkAliveNeedsLock(registered, "registered from", source);
                return HeartbeatResult.Registered;
            case HeartbeatKind.Alive:
                var member = _register.Find(source);
                if (_signature is not null && _replays.TakeIn(signed, member?.Number ?? ReplayMemory.UnknownSender) is { } replayed)
                {
                    return replayed;
                }
                if (member is null)
                {
                    return _answers.TryTake(source) ? HeartbeatResult.Auth : HeartbeatResult.AuthWithheld;
                }
                member.Load = message.Load ?? member.Load;
                MarkAliveNeedsLock(member, "heartbeat from", source);
                return message.Load is null ? HeartbeatResult.LoadIgnored : HeartbeatResult.Ok;
            default:
                return HeartbeatResult.Malformed;
        }
    }

    private void MarkAliveNeedsLock(HeartbeatMember member, string what, IpPort source)
    {
        member.SeenAt = _time.GetTimestamp();
        if (member.State != HeartbeatState.Alive)
        {
            BringUpNeedsLock(member, $"{what} {source}");
        }
    }

    private void BringUpNeedsLock(HeartbeatMember member, string reason)
    {
        member.State = HeartbeatState.Alive;
        if (member.Load != member.Backend.Load)
        {
            _pool.Change(() => member.Backend.Load = member.Load); // before it is eligible
        }
        _pool.ObserveHeartbeat(member.Backend, isAlive: true, reason);
    }

    private void OnMembersChanged(BackendPool pool)
    {
        lock (_gate)
        {
            if (!_isDisposed)
            {
                SetMembersNeedsLock();
            }
        }
    }

    private void SetMembersNeedsLock()
    {
        var before = _register.Members;
        _register.SetMembers(_pool.Snapshot.Members, _backends);
        ClearLoadsNeedsLock(before.Where(member => _register.Members.All(now => now.Backend != member.Backend)));
    }

    // The load of a backend that no longer reports one would stay for ever.
    private void ClearLoadsNeedsLock(IEnumerable<HeartbeatMember> members)
    {
        var busy = members.Where(member => member.Backend.Load != 0).ToList();
        if (busy.Count > 0)
        {
            _pool.Change(() => busy.ForEach(member => member.Backend.Load = 0));
        }
    }

    // One line in ten seconds, however many datagrams were rejected.
    private void LogRejectedNeedsLock()
    {
        if (_time.GetElapsedTime(_loggedAt) < LogInterval)
        {
            return;
        }
        var counts = Statistics.Counts;
        var rejected = (from now in counts
                        where now.Result > HeartbeatResult.Registered
                        let before = _logged.FirstOrDefault(before => before.Result == now.Result).Count
                        where now.Count > before
                        select (now.Result, Count: now.Count - before)).ToList();
        if (rejected.Count > 0)
        {
            (_loggedAt, _logged) = (_time.GetTimestamp(), counts);
            var results = string.Join(", ", rejected.Select(now => $"{Words(now.Result)} {now.Count}"));
            LogRejected(_pool.Name, rejected.Sum(now => now.Count), results, _lastRejected.ToString());
        }
    }

    private static string Words(HeartbeatResult result) => result switch
    {
        HeartbeatResult.Auth => "OK from where nobody is registered, answered AUTH:",
        HeartbeatResult.AuthWithheld => "the same, too many to be answered:",
        HeartbeatResult.Unknown => "registration of no backend of this pool:",
        HeartbeatResult.TooLong => "too long:",
        HeartbeatResult.BadMac => "not signed with the pool's key:",
        HeartbeatResult.Stale => "signed at another time than now:",
        HeartbeatResult.Replayed => "a copy of what came before:",
        _ => "not understood:",
    };

    [LoggerMessage(84, LogLevel.Warning,
        "pool '{Pool}': {Count} heartbeat datagrams were of no use ({Results}); the last came from {Source}")]
    private partial void LogRejected(string pool, long count, string results, string source);
}
