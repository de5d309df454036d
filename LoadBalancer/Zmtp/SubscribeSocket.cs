using System.Text;
using System.Threading.Channels;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A SUB or an XSUB: sends its subscriptions to every publisher and receives the matching messages. They go to
/// <see cref="Received"/>; without a handler they wait for <see cref="ReceiveAsync"/>, <see cref="ZmtpLimits.QueueMessages"/> at most;
/// further ones are dropped.
/// </summary>
public sealed class SubscribeSocket : ZmtpSocket
{
    private readonly Lock _gate = new();
    private readonly HashSet<ZmtpPeer> _publishers = [];
    private readonly Subscriber _self = new(null);
    private readonly SubscriptionTable _subscriptions;
    private readonly Channel<ZmtpMessage> _inbox;

    /// <summary>Makes a SUB or an XSUB.</summary>
    /// <exception cref="ArgumentException">The type is another one.</exception>
    public SubscribeSocket(ZmtpSocketType type = ZmtpSocketType.Sub, ZmtpLimits? limits = null, TimeProvider? time = null)
        : base(type, limits, time)
    {
        if (type is not (ZmtpSocketType.Sub or ZmtpSocketType.XSub))
        {
            throw new ArgumentException($"a {type.Name()} does not subscribe", nameof(type));
        }
        _subscriptions = new SubscriptionTable(Limits with { SubscriptionsPerPeer = Limits.Subscriptions });
        _inbox = Channel.CreateBounded<ZmtpMessage>(Limits.QueueMessages);
    }

    /// <summary>Called with each message, which is valid only until the call returns.</summary>
    public Action<ZmtpPeer, ZmtpMessage>? Received { get; init; }

    /// <summary>
    /// Subscribes to messages with this prefix; an empty prefix matches all. Two calls need two calls of
    /// <see cref="Unsubscribe(ReadOnlySpan{byte})"/>.
    /// </summary>
    /// <exception cref="ZmtpException">The prefix is too long, or there are too many subscriptions.</exception>
    public void Subscribe(ReadOnlySpan<byte> prefix)
    {
        lock (_gate)
        {
            if (_subscriptions.Add(_self, prefix))
            {
                TellPublishersNeedsLock(prefix, isCancelled: false);
            }
        }
    }

    /// <summary>Subscribes to messages that begin with the text, in UTF-8.</summary>
    public void Subscribe(string prefix) => Subscribe(Encoding.UTF8.GetBytes(prefix));

    /// <summary>Cancels one subscription; does nothing if there is none.</summary>
    public void Unsubscribe(ReadOnlySpan<byte> prefix)
    {
        lock (_gate)
        {
            if (_subscriptions.Remove(_self, prefix))
            {
                TellPublishersNeedsLock(prefix, isCancelled: true);
            }
        }
    }

    /// <summary>Cancels one subscription to a text.</summary>
    public void Unsubscribe(string prefix) => Unsubscribe(Encoding.UTF8.GetBytes(prefix));

    /// <summary>Waits for the next message; only where there is no <see cref="Received"/>.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ChannelClosedException">The socket was disposed.</exception>
    public ValueTask<ZmtpMessage> ReceiveAsync(CancellationToken cancellationToken = default) => _inbox.Reader.ReadAsync(cancellationToken);

    internal override void OnAdmitted(ZmtpPeer peer)
    {
        SendBurst.Begin();
        try
        {
            lock (_gate)
            {
                _publishers.Add(peer);
                foreach (var prefix in _subscriptions.Prefixes)
                {
                    peer.SendSubscription(prefix, isCancelled: false);
                }
            }
        }
        finally
        {
            SendBurst.End();
        }
    }

    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message)
    {
        if (!IsWanted(message[0].Span))
        {
            return; // The subscription was just cancelled, or the publisher does not filter.
        }
        if (Received is { } received)
        {
            received(peer, message);
        }
        else if (!_inbox.Writer.TryWrite(message.Copy()))
        {
            Statistics.CountDropped();
        }
    }

    internal override void OnGone(ZmtpPeer peer)
    {
        lock (_gate)
        {
            _publishers.Remove(peer);
        }
    }

    private protected override void OnDisposed() => _inbox.Writer.TryComplete();

    private bool IsWanted(ReadOnlySpan<byte> topic)
    {
        lock (_gate)
        {
            return _subscriptions.IsWanted(topic);
        }
    }

    private void TellPublishersNeedsLock(ReadOnlySpan<byte> prefix, bool isCancelled)
    {
        foreach (var publisher in _publishers)
        {
            publisher.SendSubscription(prefix, isCancelled);
        }
    }
}
