using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Knows the alternative from the ALTPINGs that it sends, and forgets it when they cease. If there are several, the first one counts until
/// it falls silent: all clients and workers must use the same one.
/// </summary>
internal sealed class AlternativeRegister : IAsyncDisposable
{
    private readonly TimeProvider _time;
    private readonly TimeSpan _timeout;
    private readonly BrokerLog _log;
    private readonly Rejections _rejections;
    private readonly Lock _gate = new();
    private IPAddress? _alternative;
    private long _receivedAt;

    /// <summary>Creates it; it receives ALTPINGs from when its socket is bound.</summary>
    /// <param name="timeout">The silence after which the alternative is forgotten.</param>
    /// <param name="log">Logs when an alternative appears or disappears.</param>
    /// <param name="rejections">Counts ALTPINGs without a usable address.</param>
    /// <param name="limits">The limits of its socket.</param>
    /// <param name="time">The clock.</param>
    public AlternativeRegister(TimeSpan timeout, BrokerLog log, Rejections rejections, ZmtpLimits limits, TimeProvider time)
    {
        (_timeout, _log, _rejections, _time) = (timeout, log, rejections, time);
        Socket = new SubscribeSocket(ZmtpSocketType.Sub, limits, time)
        {
            Received = OnMessage,
            Faulted = rejections.At(nameof(BrokerPorts.AlternativePing)),
            Logger = log.Logger,
        };
        Socket.Subscribe(PeerMessages.AlternativePingTopic);
    }

    /// <summary>The socket to which alternatives connect: a SUB.</summary>
    public SubscribeSocket Socket { get; }

    /// <summary>The alternative, null if there is none; and the timestamp of its last ALTPING.</summary>
    public (IPAddress? Address, long ReceivedAt) Current
    {
        get
        {
            lock (_gate)
            {
                if (_alternative is { } silent && _time.GetElapsedTime(_receivedAt) >= _timeout)
                {
                    _alternative = null;
                    _log.AlternativeGone(silent, _timeout);
                }
                return (_alternative, _receivedAt);
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
            _rejections.Count(nameof(BrokerPorts.AlternativePing), Rejections.NotAnAddress);
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
            (_alternative, _receivedAt) = (ip, _time.GetTimestamp());
        }
    }
}
