using System.Net;
using System.Threading.Channels;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Broker;

/// <summary>Keeps a broker what <see cref="MainAlternative"/> says that it is: the clock, and the sockets, of that state machine.</summary>
internal sealed class RoleKeeper : IAsyncDisposable
{
    private readonly BrokerListenerOptions _options;
    private readonly Func<ServingBroker> _newBroker;
    private readonly BrokerLog _log;
    private readonly TimeProvider _time;
    private readonly PeerWatch? _peer;
    private readonly Channel<(int Turn, BrokerEvent What)> _events = Channel.CreateUnbounded<(int, BrokerEvent)>(new UnboundedChannelOptions { SingleReader = true });
    private readonly TaskCompletionSource _decided = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? _patience;
    private long _patientSince;
    private ITimer? _pulse;
    private Task _running = Task.CompletedTask;
    private volatile BrokerState _state;
    private volatile ServingBroker? _broker;
    private volatile int _turn; // Of each state: that nothing was heard during one before means nothing.
    private long _heardAt;
    private long _pulseAt;

    /// <summary>Makes it; it begins with <see cref="StartAsync"/>.</summary>
    /// <param name="options">The listener's.</param>
    /// <param name="newBroker">Makes what serves.</param>
    /// <param name="log">Told of each change.</param>
    /// <param name="time">The clock.</param>
    public RoleKeeper(BrokerListenerOptions options, Func<ServingBroker> newBroker, BrokerLog log, TimeProvider time)
    {
        (_options, _newBroker, _log, _time) = (options, newBroker, log, time);
        if ((options.MainAddress ?? options.AlternativeAddress) is { } peer)
        {
            _peer = new PeerWatch(peer, options.AdvertisedAddress ?? IPAddress.Parse(options.Address.Host), options, () => Post(BrokerEvent.Heard), log.Logger, time);
        }
    }

    /// <summary>What it is.</summary>
    public BrokerState State => _state;

    /// <summary>What serves, or is about to; null where it watches.</summary>
    public ServingBroker? Broker => _broker;

    /// <summary>Where the other one is, as configured.</summary>
    public IPAddress? Peer => _peer?.Address;

    /// <summary>When the other one's HCHECK was heard last; null where it never was.</summary>
    public long? HeardAt => Interlocked.Read(ref _heardAt) is not 0 and var at ? at : null;

    /// <summary>How often it has taken over.</summary>
    public long TakeOvers { get; private set; }

    /// <summary>Begins, and returns when it is known what it is.</summary>
    /// <exception cref="StartException">It should serve, and cannot.</exception>
    public async Task StartAsync()
    {
        try
        {
            await EnterAsync(MainAlternative.Begin(_options.Role, _peer is not null));
            _running = RunAsync();
            if (_peer is not null)
            {
                _pulseAt = _time.GetTimestamp();
                _pulse = _time.CreateTimer(_ => Beat(), null, _options.PublishInterval, _options.PublishInterval);
            }
            await _decided.Task;
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    /// <summary>Leaves it to others; what workers are at may end until the token is cancelled.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await EndAsync();
        if (_broker is { } broker)
        {
            await broker.StopAsync(cancellationToken);
        }
        _broker = null;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await EndAsync();
        await CeaseAsync();
    }

    private async Task EndAsync()
    {
        _events.Writer.TryComplete();
        await _running;
        await (_patience?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_pulse?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_peer?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    private void Post(BrokerEvent what) => _events.Writer.TryWrite((_turn, what));

    private async Task RunAsync()
    {
        await foreach (var (turn, what) in _events.Reader.ReadAllAsync())
        {
            if (what == BrokerEvent.Heard)
            {
                // Once is no conflict yet: who was asleep may have published before it has noticed that.
                if (_state == BrokerState.Serving && HeardAt is { } before && _time.GetElapsedTime(before) < _options.PeerTimeout)
                {
                    _log.Conflict(Peer);
                }
                Interlocked.Exchange(ref _heardAt, _time.GetTimestamp());
            }
            else if (turn != _turn)
            {
                continue;
            }
            try
            {
                await ApplyAsync(what);
            }
            catch (Exception e)
            {
                await RecoverAsync(e);
            }
        }
    }

    // Whatever went wrong, the loop goes on: a broker that has stopped listening to its peer would never take over.
    private async Task RecoverAsync(Exception error)
    {
        if (_decided.TrySetException(error))
        {
            return; // StartAsync reports it.
        }
        _log.CannotServe(error);
        try
        {
            await EnterAsync(BrokerState.Watching);
        }
        catch (Exception e)
        {
            _log.CannotServe(e);
            _state = BrokerState.Watching; // From here it tries again after the next silence.
            RestartPatience();
        }
    }

    private async Task ApplyAsync(BrokerEvent what)
    {
        if (what == BrokerEvent.Silent && MainAlternative.Patience(_state, _options.Role, _options.PublishInterval, _options.PeerTimeout) - _time.GetElapsedTime(_patientSince) is { } left
            && left > TimeSpan.Zero)
        {
            SetPatience(left + TimeSpan.FromMilliseconds(1)); // Something was heard just before; or a timer was early.
            return;
        }
        var next = MainAlternative.Next(_state, what);
        if (next != _state || what == BrokerEvent.Slept)
        {
            await EnterAsync(next);
        }
        else if (what == BrokerEvent.Heard)
        {
            RestartPatience();
        }
    }

    private async Task EnterAsync(BrokerState state)
    {
        _turn++;
        _log.Entered(state, Peer, _options.PeerTimeout);
        switch (state)
        {
            case BrokerState.Asking:
                await CeaseAsync();
                await _peer!.StopPingingAsync();
                _broker = _newBroker();
                _broker.Hold();
                _state = state;
                BackgroundTask.Run(LookAsync(_turn), _log.Logger, $"asking whether a broker listens at {Peer}");
                break;
            case BrokerState.Serving:
                (_broker ??= _newBroker()).Serve();
                TakeOvers += _options.Role == BrokerRole.Alternative || _decided.Task.IsCompleted ? 1 : 0; // Only where it can.
                _state = state;
                break;
            default:
                await CeaseAsync();
                _state = state;
                _peer!.StartPinging();
                break;
        }
        if (state != BrokerState.Asking)
        {
            _decided.TrySetResult();
        }
        RestartPatience();
    }

    private void RestartPatience()
    {
        _patientSince = _time.GetTimestamp();
        SetPatience(MainAlternative.Patience(_state, _options.Role, _options.PublishInterval, _options.PeerTimeout) ?? Timeout.InfiniteTimeSpan);
    }

    private void SetPatience(TimeSpan left)
    {
        _patience?.Dispose();
        var turn = _turn;
        _patience = _time.CreateTimer(_ => _events.Writer.TryWrite((turn, BrokerEvent.Silent)), null, left, Timeout.InfiniteTimeSpan);
    }

    private async Task LookAsync(int turn)
    {
        if (!await _peer!.IsAnybodyThereAsync())
        {
            _events.Writer.TryWrite((turn, BrokerEvent.NobodyThere));
        }
    }

    private void Beat()
    {
        var now = _time.GetTimestamp();
        if (_time.GetElapsedTime(Interlocked.Exchange(ref _pulseAt, now), now) >= _options.PeerTimeout)
        {
            Post(BrokerEvent.Slept);
        }
    }

    private async Task CeaseAsync()
    {
        if (_broker is { } broker)
        {
            _broker = null;
            await broker.DisposeAsync();
        }
    }
}
