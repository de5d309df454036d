namespace LoadBalancer.Zmtp;

/// <summary>
/// A PUB or an XPUB: a message goes to each peer that has subscribed to a prefix of its first frame. A peer
/// that has <see cref="ZmtpLimits.QueueMessages"/> waiting misses further messages, as with libzmq; a peer that reads nothing for
/// <see cref="ZmtpLimits.StallTimeout"/> is disconnected.
/// </summary>
public sealed class PublishSocket : ZmtpSocket
{
    private readonly Lock _gate = new();
    private readonly SubscriptionTable _subscriptions;
    private readonly List<Subscriber> _chosen = [];

    /// <summary>Makes a PUB or an XPUB.</summary>
    /// <exception cref="ArgumentException">The type is another one.</exception>
    public PublishSocket(ZmtpSocketType type = ZmtpSocketType.Pub, ZmtpLimits? limits = null, TimeProvider? time = null)
        : base(type, limits, time)
    {
        _subscriptions = new SubscriptionTable(Limits);
        if (!type.Publishes())
        {
            throw new ArgumentException($"a {type.Name()} does not publish", nameof(type));
        }
    }

    /// <summary>
    /// Called with each prefix that gets its first subscriber (true) or loses its last one (false), in order: an XPUB passes these on to
    /// its publishers. Called under the socket's lock: it must not publish here.
    /// </summary>
    public Action<ReadOnlyMemory<byte>, bool>? SubscriptionChanged { get; init; }

    /// <summary>Publishes.</summary>
    /// <returns>How many peers it was sent to.</returns>
    public int Publish(in ZmtpMessage message)
    {
        var count = 0;
        SendBurst.Begin();
        try
        {
            lock (_gate)
            {
                _chosen.Clear();
                _subscriptions.Match(message[0].Span, _chosen);
                foreach (var subscriber in _chosen)
                {
                    count += subscriber.Peer!.Send(message) ? 1 : 0;
                }
            }
        }
        finally
        {
            SendBurst.End();
        }
        return count;
    }

    // Before 3.1 a subscription is a message: one byte, 1 or 0, and the prefix. Other messages of subscribers are ignored.
    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message)
    {
        var body = message[0].Span;
        if (message.Count == 1 && !body.IsEmpty && body[0] <= 1)
        {
            OnSubscription(peer, body[1..], isCancelled: body[0] == 0);
        }
        else
        {
            Statistics.CountDropped();
        }
    }

    internal override void OnSubscription(ZmtpPeer peer, ReadOnlySpan<byte> prefix, bool isCancelled)
    {
        lock (_gate)
        {
            if (isCancelled ? _subscriptions.Remove(peer.Subscriber, prefix) : _subscriptions.Add(peer.Subscriber, prefix))
            {
                SubscriptionChanged?.Invoke(prefix.ToArray(), !isCancelled);
            }
        }
    }

    internal override void OnGone(ZmtpPeer peer)
    {
        lock (_gate)
        {
            foreach (var prefix in _subscriptions.RemoveAll(peer.Subscriber))
            {
                SubscriptionChanged?.Invoke(prefix, false);
            }
        }
    }
}
