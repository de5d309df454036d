using System.Net;
using System.Threading.Channels;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Broker;

/// <summary>
/// Runs the state machine <see cref="MainAlternative"/> of a broker: its clock, its timers and its sockets. All transitions run in one
/// loop.
/// </summary>
internal sealed class RoleKeeper : IAsyncDisposable
{
    private readonly BrokerListenerOptions _options;
    private readonly Func<ServingBroker> _newBroker;
    private readonly BrokerLog _log;
    private readonly TimeProvider _time;
    private readonly MainLease? _lease; // null: alone, or with one other node
    private readonly PeerWatch? _peer;
    private readonly Channel<(int StateNumber, BrokerEvent What)> _events =
        Channel.CreateUnbounded<(int, BrokerEvent)>(new UnboundedChannelOptions { SingleReader = true });
    private readonly TaskCompletionSource _decided = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? _silenceTimer;
    private long _quietSince;
    private ITimer? _sleepTimer;
    private Task _running = Task.CompletedTask;
    private volatile BrokerState _state;
    private bool _isResumed; // begins where another process has left off
    private volatile ServingBroker? _broker;
    private volatile int _stateNumber; // Counts the states entered: an event of a timer of an earlier state is ignored.
    private long _heardAt;
    private long _checkedAt;

    /// <summary>Creates it; it begins with <see cref="StartAsync"/>.</summary>
    /// <param name="options">The options of the listener.</param>
    /// <param name="newBroker">Creates the broker that serves.</param>
    /// <param name="log">Logs each transition.</param>
    /// <param name="time">The clock.</param>
    /// <param name="lease">What decides in a cluster; null where there is none.</param>
    public RoleKeeper(
        BrokerListenerOptions options, Func<ServingBroker> newBroker, BrokerLog log, TimeProvider time, MainLease? lease = null)
    {
        (_options, _newBroker, _log, _time, _lease) = (options, newBroker, log, time, lease);
        if (lease is null && (options.MainAddress ?? options.AlternativeAddress) is { } peer)
        {
            _peer = new PeerWatch(peer, options.AdvertisedAddress ?? IPAddress.Parse(options.Address.Host), options,
                () => Post(BrokerEvent.Heard), log.Logger, time);
        }
    }

    /// <summary>The present state.</summary>
    public BrokerState State => _state;

    /// <summary>The broker that serves, or is about to; null while it watches.</summary>
    public ServingBroker? Broker => _broker;

    /// <summary>The configured address of the other broker; null if there is none.</summary>
    public IPAddress? Peer => _peer?.Address;

    /// <summary>Timestamp of the last HCHECK of the other broker; null if there was none.</summary>
    public long? HeardAt => Interlocked.Read(ref _heardAt) is not 0 and var at ? at : null;

    /// <summary>The number of take-overs by this broker.</summary>
    public long TakeOvers { get; private set; }

    /// <summary>Starts the state machine, and returns when it serves or watches.</summary>
    /// <param name="resumed">The state in which another process was until now; null where there was none.</param>
    /// <exception cref="StartException">It should serve, and a port cannot be bound.</exception>
    public async Task StartAsync(BrokerState? resumed = null)
    {
        try
        {
            _isResumed = resumed is not null;
            var begin = MainAlternative.Begin(_options.Role, _peer is not null, _lease is not null);
            var isPossible = _lease is null && (resumed == BrokerState.Serving || (resumed == BrokerState.Watching && _peer is not null));
            await EnterAsync(isPossible ? resumed!.Value : begin);
            _running = RunAsync();
            _lease?.Begin(() => Post(_lease.IsHeld() ? BrokerEvent.Won : BrokerEvent.Lost));
            if (_peer is not null)
            {
                _checkedAt = _time.GetTimestamp();
                _sleepTimer = _time.CreateTimer(_ => CheckForSleep(), null, _options.PublishInterval, _options.PublishInterval);
            }
            await _decided.Task;
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    /// <summary>Another process, or another listener, goes on from here: the state stays, and nothing more is accepted.</summary>
    public void Leave()
    {
        _events.Writer.TryComplete();
        _broker?.Leave();
        if (_state != BrokerState.Serving && _lease is not null)
        {
            BackgroundTask.Run(_lease.ReleaseAsync(), _log.Logger, "wanting the lease of a main no more"); // It would be of no use here.
        }
    }

    /// <summary>Stops the state machine and the broker; requests that workers have may finish until the token is cancelled.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await EndLoopAsync();
        if (_broker is { } broker)
        {
            await broker.StopAsync(cancellationToken);
        }
        _broker = null;
        await (_lease?.ReleaseAsync() ?? Task.CompletedTask); // Not before: another node serves at once.
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await EndLoopAsync();
        await CloseBrokerAsync();
        await (_lease?.ReleaseAsync() ?? Task.CompletedTask);
    }

    private async Task EndLoopAsync()
    {
        _events.Writer.TryComplete();
        await _running;
        await (_silenceTimer?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_sleepTimer?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_peer?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    private void Post(BrokerEvent what) => _events.Writer.TryWrite((_stateNumber, what));

    private async Task RunAsync()
    {
        await foreach (var (stateNumber, happened) in _events.Reader.ReadAllAsync())
        {
            var what = happened == BrokerEvent.Won && !_lease!.IsHeld() ? BrokerEvent.Lost : happened;
            if (what is BrokerEvent.Won or BrokerEvent.Lost)
            {
                // Of every state, and as it is now.
            }
            else if (what == BrokerEvent.Heard)
            {
                // One HCHECK is no conflict yet: a main that was suspended may publish before it notices that.
                if (_state == BrokerState.Serving && HeardAt is { } before && _time.GetElapsedTime(before) < _options.PeerTimeout)
                {
                    _log.Conflict(Peer);
                }
                Interlocked.Exchange(ref _heardAt, _time.GetTimestamp());
            }
            else if (stateNumber != _stateNumber)
            {
                continue;
            }
            try
            {
                await ApplyAsync(what);
                if (what == BrokerEvent.Lost && _lease!.IsHeld())
                {
                    Post(BrokerEvent.Won); // It came back meanwhile. What was not done in between is lost, so this begins anew.
                }
            }
            catch (Exception e)
            {
                await RecoverAsync(e);
            }
        }
    }

    // The loop goes on after any error: a broker that does not handle events any more would never take over.
    private async Task RecoverAsync(Exception error)
    {
        if (_decided.TrySetException(error))
        {
            return; // StartAsync reports it.
        }
        _log.CannotServe(error);
        var back = _lease is null ? BrokerState.Watching : BrokerState.Waiting;
        try
        {
            await EnterAsync(back);
        }
        catch (Exception e)
        {
            _log.CannotServe(e);
            _state = back; // It tries again after the next silence.
            RestartSilenceTimer();
        }
        await (_lease?.YieldAsync() ?? Task.CompletedTask); // Another node may be able to.
    }

    private async Task ApplyAsync(BrokerEvent what)
    {
        var timeout = MainAlternative.SilenceTimeout(_state, _options.Role, _options.PublishInterval, _options.PeerTimeout);
        if (what == BrokerEvent.Silent && timeout - _time.GetElapsedTime(_quietSince) is { } left && left > TimeSpan.Zero)
        {
            SetSilenceTimer(left + TimeSpan.FromMilliseconds(1)); // HCHECK came just before, or the timer was early.
            return;
        }
        var next = MainAlternative.Next(_state, what);
        if (next != _state || what == BrokerEvent.Slept)
        {
            await EnterAsync(next);
        }
        else if (what == BrokerEvent.Heard)
        {
            RestartSilenceTimer();
        }
    }

    private async Task EnterAsync(BrokerState state)
    {
        _stateNumber++;
        _log.Entered(state, Peer, _options.PeerTimeout);
        switch (state)
        {
            case BrokerState.Asking:
                await CloseBrokerAsync();
                await _peer!.StopPingingAsync();
                _broker = _newBroker();
                _broker.Hold();
                _state = state;
                BackgroundTask.Run(ProbePeerAsync(_stateNumber), _log.Logger, $"asking whether a broker listens at {Peer}");
                break;
            case BrokerState.Serving:
                (_broker ??= _newBroker()).Serve();
                var isTakeOver = (_options.Role == BrokerRole.Alternative && !_isResumed) || _decided.Task.IsCompleted;
                TakeOvers += isTakeOver ? 1 : 0; // only after it has succeeded
                _state = state;
                break;
            default:
                await CloseBrokerAsync();
                _state = state;
                _peer?.StartPinging();
                break;
        }
        if (state != BrokerState.Asking)
        {
            _decided.TrySetResult();
        }
        RestartSilenceTimer();
    }

    private void RestartSilenceTimer()
    {
        _quietSince = _time.GetTimestamp();
        SetSilenceTimer(MainAlternative.SilenceTimeout(_state, _options.Role, _options.PublishInterval, _options.PeerTimeout)
            ?? Timeout.InfiniteTimeSpan);
    }

    private void SetSilenceTimer(TimeSpan left)
    {
        _silenceTimer?.Dispose();
        var stateNumber = _stateNumber;
        _silenceTimer =
            _time.CreateTimer(_ => _events.Writer.TryWrite((stateNumber, BrokerEvent.Silent)), null, left, Timeout.InfiniteTimeSpan);
    }

    private async Task ProbePeerAsync(int stateNumber)
    {
        if (!await _peer!.IsReachableAsync())
        {
            _events.Writer.TryWrite((stateNumber, BrokerEvent.Unreachable));
        }
    }

    private void CheckForSleep()
    {
        var now = _time.GetTimestamp();
        if (_time.GetElapsedTime(Interlocked.Exchange(ref _checkedAt, now), now) >= _options.PeerTimeout)
        {
            Post(BrokerEvent.Slept);
        }
    }

    private async Task CloseBrokerAsync()
    {
        if (_broker is { } broker)
        {
            _broker = null;
            await broker.DisposeAsync();
        }
    }
}
