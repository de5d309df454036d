namespace LoadBalancer.Zmtp;

/// <summary>What one peer has subscribed to.</summary>
/// <param name="peer">The peer; null only in tests.</param>
internal sealed class Subscriber(ZmtpPeer? peer)
{
    /// <summary>The peer.</summary>
    public ZmtpPeer? Peer => peer;

    /// <summary>Its prefixes, and how often it has subscribed to each.</summary>
    public Dictionary<Topic, int> Topics { get; } = [];

    /// <summary>The last message for which it was selected.</summary>
    public long Chosen { get; set; }
}

/// <summary>A prefix with at least one subscriber.</summary>
internal sealed class Topic(byte[] prefix)
{
    /// <summary>The first bytes of a matching message.</summary>
    public byte[] Prefix => prefix;

    /// <summary>The subscribers to the prefix.</summary>
    public HashSet<Subscriber> Subscribers { get; } = [];
}

/// <summary>
/// Finds the subscribers of a message: those that have subscribed to a prefix of its first frame. Two subscriptions need two
/// cancellations (RFC 29). There is one lookup for each distinct prefix length, so a thousand clients that subscribe to ids of the same
/// length cost as much as one. Not thread-safe.
/// </summary>
internal sealed class SubscriptionTable(ZmtpLimits limits)
{
    private readonly Dictionary<byte[], Topic> _topics = new(BytesComparer.Instance);
    private readonly SortedDictionary<int, int> _lengths = []; // prefix length → number of prefixes
    private int[] _lengthsInUse = [];
    private long _messages;
    private int _bytes; // in all prefixes

    /// <summary>Every prefix.</summary>
    public IEnumerable<byte[]> Prefixes => _topics.Keys;

    /// <summary>Adds a subscription.</summary>
    /// <returns>Whether it is the first subscription to the prefix.</returns>
    /// <exception cref="ZmtpException">There are too many subscriptions, or the prefix is too long.</exception>
    public bool Add(Subscriber subscriber, ReadOnlySpan<byte> prefix)
    {
        if (prefix.Length > limits.SubscriptionBytes)
        {
            throw new ZmtpException(ZmtpFault.Subscriptions, $"subscribed to something of more than {limits.SubscriptionBytes} bytes");
        }
        var isKnown = _topics.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(prefix, out var topic);
        if (isKnown && subscriber.Topics.TryGetValue(topic!, out var times))
        {
            subscriber.Topics[topic!] = checked(times + 1);
            return false;
        }
        if (subscriber.Topics.Count >= limits.SubscriptionsPerPeer
            || (!isKnown && (_topics.Count >= limits.Subscriptions || _bytes + prefix.Length > limits.AllSubscriptionBytes)))
        {
            throw new ZmtpException(ZmtpFault.Subscriptions,
                $"subscribed to too much: there may be {limits.SubscriptionsPerPeer} subscriptions of a peer, and {limits.Subscriptions} " +
                $"of {limits.AllSubscriptionBytes} bytes in all");
        }
        if (topic is null)
        {
            topic = new Topic(prefix.ToArray());
            _topics.Add(topic.Prefix, topic);
            _bytes += prefix.Length;
            CountLength(prefix.Length, 1);
        }
        subscriber.Topics.Add(topic, 1);
        topic.Subscribers.Add(subscriber);
        return !isKnown;
    }

    /// <summary>Cancels a subscription; does nothing if there is none.</summary>
    /// <returns>Whether it was the last one to the prefix.</returns>
    public bool Remove(Subscriber subscriber, ReadOnlySpan<byte> prefix)
    {
        if (!_topics.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(prefix, out var topic)
            || !subscriber.Topics.TryGetValue(topic, out var times))
        {
            return false;
        }
        if (times > 1)
        {
            subscriber.Topics[topic] = times - 1;
            return false;
        }
        subscriber.Topics.Remove(topic);
        return Leave(subscriber, topic);
    }

    /// <summary>Cancels all subscriptions of a peer.</summary>
    /// <returns>The prefixes that have no subscriber any more.</returns>
    public List<byte[]> RemoveAll(Subscriber subscriber)
    {
        List<byte[]> left = [.. subscriber.Topics.Keys.Where(topic => Leave(subscriber, topic)).Select(topic => topic.Prefix)];
        subscriber.Topics.Clear();
        return left;
    }

    /// <summary>Finds the subscribers of a message, each of them once.</summary>
    public void Match(ReadOnlySpan<byte> topic, List<Subscriber> into)
    {
        _messages++;
        var topics = _topics.GetAlternateLookup<ReadOnlySpan<byte>>();
        foreach (var length in _lengthsInUse)
        {
            if (length > topic.Length)
            {
                return;
            }
            if (!topics.TryGetValue(topic[..length], out var found))
            {
                continue;
            }
            foreach (var subscriber in found.Subscribers)
            {
                if (subscriber.Chosen != _messages)
                {
                    subscriber.Chosen = _messages;
                    into.Add(subscriber);
                }
            }
        }
    }

    /// <summary>Whether a message has a subscriber.</summary>
    public bool IsWanted(ReadOnlySpan<byte> topic)
    {
        var topics = _topics.GetAlternateLookup<ReadOnlySpan<byte>>();
        foreach (var length in _lengthsInUse)
        {
            if (length <= topic.Length && topics.ContainsKey(topic[..length]))
            {
                return true;
            }
        }
        return false;
    }

    private bool Leave(Subscriber subscriber, Topic topic)
    {
        topic.Subscribers.Remove(subscriber);
        if (topic.Subscribers.Count > 0)
        {
            return false;
        }
        _topics.Remove(topic.Prefix);
        _bytes -= topic.Prefix.Length;
        CountLength(topic.Prefix.Length, -1);
        return true;
    }

    private void CountLength(int length, int by)
    {
        var count = _lengths.GetValueOrDefault(length) + by;
        _ = count == 0 ? _lengths.Remove(length) : (_lengths[length] = count) > 0;
        if (count == 0 || count == by)
        {
            _lengthsInUse = [.. _lengths.Keys];
        }
    }
}
