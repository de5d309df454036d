using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Knows the alternative by the ALTPINGs that it sends, and forgets it when they cease. Where there are several the first is the one,
/// until it falls silent: everybody must be told of the same.
/// </summary>
internal sealed class AlternativeRegister : IAsyncDisposable
{
    private readonly TimeProvider _time;
    private readonly TimeSpan _timeout;
    private readonly BrokerLog _log;
    private readonly Refusals _refusals;
    private readonly Lock _gate = new();
    private IPAddress? _alternative;
    private long _heardAt;

    /// <summary>Makes it; it hears from when its socket is bound.</summary>
    /// <param name="timeout">After how long a silence it is forgotten.</param>
    /// <param name="log">Told who comes and goes.</param>
    /// <param name="refusals">Counts what names nobody.</param>
    /// <param name="limits">Of its socket.</param>
    /// <param name="time">The clock.</param>
    public AlternativeRegister(TimeSpan timeout, BrokerLog log, Refusals refusals, ZmtpLimits limits, TimeProvider time)
    {
        (_timeout, _log, _refusals, _time) = (timeout, log, refusals, time);
        Socket = new SubscribeSocket(ZmtpSocketType.Sub, limits, time) 
        {
            Received = OnMessage, Faulted = refusals.At(nameof(BrokerPorts.AlternativePing)), Logger = log.Logger,
        };
        Socket.Subscribe(PeerMessages.AlternativePingTopic);
    }

    /// <summary>Where alternatives connect: a SUB.</summary>
    public SubscribeSocket Socket { get; }

    /// <summary>The alternative; null where there is none. When it was heard last.</summary>
    public (IPAddress? Address, long HeardAt) Current
    {
        get
        {
            lock (_gate)
            {
                if (_alternative is { } silent && _time.GetElapsedTime(_heardAt) >= _timeout)
                {
                    _alternative = null;
                    _log.AlternativeGone(silent, _timeout);
                }
                return (_alternative, _heardAt);
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => Socket.DisposeAsync();

    private void OnMessage(ZmtpPeer peer, ZmtpMessage message)
    {
        var ip = PeerMessages.AlternativeOf(message);
        if (ip is null)
        {
            _refusals.Count(nameof(BrokerPorts.AlternativePing), Refusals.NotAnAddress);
            return;
        }
        lock (_gate)
        {
            if (Current.Address is { } known && !known.Equals(ip))
            {
                return;
            }
            if (_alternative is null)
            {
                _log.AlternativeCame(ip);
            }
            (_alternative, _heardAt) = (ip, _time.GetTimestamp());
        }
    }
}
