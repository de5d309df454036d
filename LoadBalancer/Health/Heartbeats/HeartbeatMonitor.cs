using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>What a datagram is answered.</summary>
internal enum HeartbeatAnswer
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary><c>OK</c>: you are registered.</summary>
    Ok,

    /// <summary><c>AUTH</c>: register.</summary>
    Auth,
}

/// <summary>
/// Makes of datagrams what a pool is to know: who is there, who has fallen silent, who is how busy. Owns no socket and no timer:
/// <see cref="TakeIn"/> is called with each datagram, <see cref="Tick"/> ten times a second.
/// </summary>
internal sealed partial class HeartbeatMonitor : IDisposable
{
    /// <summary>How often <see cref="Tick"/> wants to be called.</summary>
    public static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(100);

    // Who sends once a second and loses one datagram is heard again just when the time-out of two seconds is over: it is given a little
    // more. With a tick, and one more for a late one, that stays below the half second within which silence must be noticed.
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
    private long _toldAt;
    private IReadOnlyList<(HeartbeatResult Result, long Count)> _told = [];
    private IpPort _lastRefused;

    /// <summary>Watches the heartbeats of a pool from its first options on.</summary>
    public HeartbeatMonitor(BackendPool pool, TimeProvider time, ILogger logger)
    {
        (_pool, _time, _logger) = (pool, time, logger);
        (_register, _replays, _answers) = (new HeartbeatRegister(time), new ReplayMemory(time), new AnswerLimit(time));
        _tickedAt = time.GetTimestamp();
        _toldAt = _tickedAt - (long)(LogInterval.TotalSeconds * time.TimestampFrequency);
        pool.MembersChanged += OnMembersChanged;
    }

    /// <summary>The pool's name.</summary>
    public string PoolName => _pool.Name;

    /// <summary>What has come.</summary>
    public HeartbeatStatistics Statistics { get; } = new();

    /// <summary>Takes up other options. What is known of a backend stays, unless it is another now.</summary>
    /// <param name="options">The pool's options.</param>
    /// <param name="backends">Its backends by the configuration.</param>
    public void Apply(HeartbeatOptions options, IReadOnlyDictionary<string, BackendOptions> backends)
    {
        lock (_gate)
        {
            if (options.Key != _options.Key)
            {
                _signature = options.Key is { } key ? new HeartbeatSignature(HeartbeatOptions.KeyOf(key)!, _time) : null;
            }
            (_options, _backends) = (options, backends);
            SetMembers();
        }
    }

    /// <summary>Takes in a datagram, whatever it holds.</summary>
    /// <param name="datagram">The datagram; of one that is too long it may be the beginning, if that is too long itself.</param>
    /// <param name="source">Where it came from.</param>
    public HeartbeatAnswer TakeIn(ReadOnlySpan<byte> datagram, IpPort source)
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return HeartbeatAnswer.None;
            }
            var result = Judge(datagram, source);
            Statistics.Count(result);
            if (result > HeartbeatResult.Registered)
            {
                _lastRefused = source;
            }
            return result switch
            {
                HeartbeatResult.Registered => HeartbeatAnswer.Ok,
                HeartbeatResult.Auth => HeartbeatAnswer.Auth,
                _ => HeartbeatAnswer.None,
            };
        }
    }

    /// <summary>Writes an answer, signed where datagrams are.</summary>
    /// <returns>How many bytes that are.</returns>
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

    /// <summary>Looks who has been silent for too long, and lets changed loads count.</summary>
    public void Tick()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }
            // Where this program itself stood still, datagrams may be waiting to be read; they come first. But where every tick is late,
            // silence must be noticed all the same.
            var wasLate = _isLate;
            _isLate = _time.GetElapsedTime(_tickedAt) > 2 * TickInterval;
            _tickedAt = _time.GetTimestamp();
            foreach (var member in _register.Members)
            {
                if ((!_isLate || wasLate) && member.State != HeartbeatState.Silent && _time.GetElapsedTime(member.SeenAt) >= _options.Timeout + Grace)
                {
                    var reason = member.State == HeartbeatState.Awaited ? "no heartbeat yet" : string.Create(CultureInfo.InvariantCulture, $"no heartbeat for {_options.Timeout.TotalSeconds} s");
                    member.State = HeartbeatState.Silent;
                    _pool.ObserveHeartbeat(member.Backend, isAlive: false, reason);
                }
            }
            // Not with each datagram: whoever can send them could have the pool count anew all the time.
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
            TellOfRefused();
        }
    }

    /// <summary>Heartbeats are no longer wanted, so that nobody is busy by what it has said.</summary>
    public void Dispose()
    {
        _pool.MembersChanged -= OnMembersChanged;
        lock (_gate)
        {
            _isDisposed = true;
            ForgetLoads(_register.Members);
        }
    }

    private HeartbeatResult Judge(ReadOnlySpan<byte> datagram, IpPort source)
    {
        if (datagram.Length > HeartbeatMessage.MostBytes)
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
                if (_signature is not null && _replays.TakeIn(signed, ReplayMemory.Anybody) is { } copied)
                {
                    return copied;
                }
                _register.Register(registered, source);
                NoteLife(registered, "registered from", source);
                return HeartbeatResult.Registered;
            case HeartbeatKind.Alive:
                var member = _register.Find(source);
                if (_signature is not null && _replays.TakeIn(signed, member?.Number ?? ReplayMemory.Anybody) is { } replayed)
                {
                    return replayed;
                }
                if (member is null)
                {
                    return _answers.TryTake(source) ? HeartbeatResult.Auth : HeartbeatResult.AuthWithheld;
                }
                member.Load = message.Load ?? member.Load;
                NoteLife(member, "heartbeat from", source);
                return message.Load is null ? HeartbeatResult.LoadIgnored : HeartbeatResult.Ok;
            default:
                return HeartbeatResult.Malformed;
        }
    }

    private void NoteLife(HeartbeatMember member, string what, IpPort source)
    {
        member.SeenAt = _time.GetTimestamp();
        if (member.State != HeartbeatState.Alive)
        {
            BringUp(member, $"{what} {source}");
        }
    }

    private void BringUp(HeartbeatMember member, string reason)
    {
        member.State = HeartbeatState.Alive;
        if (member.Load != member.Backend.Load)
        {
            _pool.Change(() => member.Backend.Load = member.Load); // Before anybody is sent there.
        }
        _pool.ObserveHeartbeat(member.Backend, isAlive: true, reason);
    }

    private void OnMembersChanged(BackendPool pool)
    {
        lock (_gate)
        {
            if (!_isDisposed)
            {
                SetMembers();
            }
        }
    }

    private void SetMembers()
    {
        var before = _register.Members;
        _register.SetMembers(_pool.Snapshot.Members, _backends);
        ForgetLoads(before.Where(member => _register.Members.All(now => now.Backend != member.Backend)));
    }

    // Who is no longer listened to is not busy by what it said once.
    private void ForgetLoads(IEnumerable<HeartbeatMember> members)
    {
        var busy = members.Where(member => member.Backend.Load != 0).ToList();
        if (busy.Count > 0)
        {
            _pool.Change(() => busy.ForEach(member => member.Backend.Load = 0));
        }
    }

    // One line for all of ten seconds, however many there were.
    private void TellOfRefused()
    {
        if (_time.GetElapsedTime(_toldAt) < LogInterval)
        {
            return;
        }
        var counts = Statistics.Counts;
        var news = counts.Where(now => now.Result > HeartbeatResult.Registered).Select(now => (now.Result, Count: now.Count - _told.FirstOrDefault(then => then.Result == now.Result).Count)).Where(now => now.Count > 0).ToList();
        if (news.Count > 0)
        {
            (_toldAt, _told) = (_time.GetTimestamp(), counts);
            LogRefused(_pool.Name, news.Sum(now => now.Count), string.Join(", ", news.Select(now => $"{Words(now.Result)} {now.Count}")), _lastRefused.ToString());
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

    [LoggerMessage(84, LogLevel.Warning, "pool '{Pool}': {Count} heartbeat datagrams were of no use ({Results}); the last came from {Source}")]
    private partial void LogRefused(string pool, long count, string results, string source);
}
