using System.Buffers.Binary;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A ROUTER or a DEALER whose owner sees each peer and chooses the peer of each message. A ROUTER knows its peers by
/// their identity: a new connection with an identity that is in use replaces the older connection, which is closed first.
/// </summary>
public sealed class PeerSocket : ZmtpSocket
{
    private readonly Lock _gate = new();
    private readonly Dictionary<byte[], ZmtpPeer> _byIdentity = new(BytesComparer.Instance);
    private uint _named;

    /// <summary>Makes a ROUTER or a DEALER.</summary>
    /// <exception cref="ArgumentException">The type is another one.</exception>
    public PeerSocket(ZmtpSocketType type, ZmtpLimits? limits = null, TimeProvider? time = null)
        : base(type, limits, time)
    {
        if (type is not (ZmtpSocketType.Router or ZmtpSocketType.Dealer))
        {
            throw new ArgumentException($"a {type.Name()} does not show its peers", nameof(type));
        }
    }

    /// <summary>Called when a peer has finished the handshake, before anything it sends.</summary>
    public Action<ZmtpPeer>? Connected { get; init; }

    /// <summary>Called with each message and its envelope; the message is valid only until the call returns.</summary>
    public Action<ZmtpPeer, ZmtpMessage>? Received { get; init; }

    /// <summary>Called when a peer that was <see cref="Connected"/> is gone; before its replacement is connected.</summary>
    public Action<ZmtpPeer>? Disconnected { get; init; }

    /// <summary>Finds a ROUTER's peer.</summary>
    /// <returns>Null if no peer with this identity is connected.</returns>
    public ZmtpPeer? Find(ReadOnlySpan<byte> identity)
    {
        lock (_gate)
        {
            return _byIdentity.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(identity, out var peer) ? peer : null;
        }
    }

    internal override async ValueTask AdmitAsync(ZmtpPeer peer)
    {
        await base.AdmitAsync(peer);
        if (Type != ZmtpSocketType.Router)
        {
            return;
        }
        if (peer.Identity.IsEmpty)
        {
            // As libzmq does (RFC 28): a zero byte, and a number.
            var identity = new byte[1 + sizeof(uint)];
            BinaryPrimitives.WriteUInt32BigEndian(identity.AsSpan(1), Interlocked.Increment(ref _named));
            peer.Identity = identity;
        }
        while (TryFindOlder(peer) is { } older)
        {
            older.Close(ZmtpFault.Replaced, "has come again with the same identity: the older connection is closed");
            await older.Ended;
        }
    }

    internal override void OnAdmitted(ZmtpPeer peer) => Connected?.Invoke(peer);

    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message) => Received?.Invoke(peer, message);

    internal override void OnGone(ZmtpPeer peer)
    {
        try
        {
            Disconnected?.Invoke(peer);
        }
        finally
        {
            lock (_gate)
            {
                if (Type == ZmtpSocketType.Router)
                {
                    _byIdentity.Remove(peer.Identity.ToArray());
                }
            }
        }
    }

    private ZmtpPeer? TryFindOlder(ZmtpPeer peer)
    {
        var identity = peer.Identity.ToArray();
        lock (_gate)
        {
            return _byIdentity.TryAdd(identity, peer) ? null : _byIdentity[identity];
        }
    }
}
