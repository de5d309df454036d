using System.Threading.Channels;

namespace LoadBalancer.Zmtp;

/// <summary>A request to a <see cref="ReplySocket"/>.</summary>
public sealed class ZmtpRequest
{
    private readonly ZmtpPeer _peer;
    private readonly ZmtpEnvelope _envelope;

    internal ZmtpRequest(ZmtpPeer peer, ZmtpEnvelope envelope, ZmtpMessage message) =>
        (_peer, _envelope, Message) = (peer, envelope, message);

    /// <summary>The request, without its envelope.</summary>
    public ZmtpMessage Message { get; }

    /// <summary>Sends the answer; to be called once.</summary>
    /// <returns>False if the client has disconnected.</returns>
    public bool Reply(in ZmtpMessage answer) => _peer.Send(_envelope, answer);
}

/// <summary>
/// A REP: receives requests from any number of peers, and answers one after the other. At most
/// <see cref="ZmtpLimits.QueueMessages"/> requests wait; further ones are dropped.
/// </summary>
public sealed class ReplySocket : ZmtpSocket
{
    private readonly Channel<ZmtpRequest> _inbox;

    /// <summary>Makes a REP.</summary>
    public ReplySocket(ZmtpLimits? limits = null, TimeProvider? time = null)
        : base(ZmtpSocketType.Rep, limits, time) =>
        _inbox = Channel.CreateBounded<ZmtpRequest>(Limits.QueueMessages);

    /// <summary>Waits for the next request.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ChannelClosedException">The socket was disposed.</exception>
    public ValueTask<ZmtpRequest> ReceiveAsync(CancellationToken cancellationToken = default) => _inbox.Reader.ReadAsync(cancellationToken);

    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message)
    {
        // A message without an envelope is no request (RFC 28).
        if (!message.TryOpen(out var envelope, out var body)
            || !_inbox.Writer.TryWrite(new ZmtpRequest(peer, envelope.Copy(), body.Copy())))
        {
            Statistics.CountDropped();
        }
    }

    private protected override void OnDisposed() => _inbox.Writer.TryComplete();
}
