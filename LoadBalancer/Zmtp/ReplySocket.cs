using System.Threading.Channels;

namespace LoadBalancer.Zmtp;

/// <summary>A question that was put to a <see cref="ReplySocket"/>.</summary>
public sealed class ZmtpRequest
{
    private readonly ZmtpPeer _peer;
    private readonly ZmtpEnvelope _envelope;

    internal ZmtpRequest(ZmtpPeer peer, ZmtpEnvelope envelope, ZmtpMessage message) =>
        (_peer, _envelope, Message) = (peer, envelope, message);

    /// <summary>What is asked, without its envelope.</summary>
    public ZmtpMessage Message { get; }

    /// <summary>Answers; to be called once.</summary>
    /// <returns>False where whoever asked is gone.</returns>
    public bool Reply(in ZmtpMessage answer) => _peer.Send(_envelope, answer);
}

/// <summary>
/// A REP: is asked questions by any number of peers, and answers them one after the other. Those that it has not come to yet wait,
/// <see cref="ZmtpLimits.QueueMessages"/> of them at most; what comes then is dropped.
/// </summary>
public sealed class ReplySocket : ZmtpSocket
{
    private readonly Channel<ZmtpRequest> _inbox;

    /// <summary>Makes a REP.</summary>
    public ReplySocket(ZmtpLimits? limits = null, TimeProvider? time = null)
        : base(ZmtpSocketType.Rep, limits, time) =>
        _inbox = Channel.CreateBounded<ZmtpRequest>(Limits.QueueMessages);

    /// <summary>Waits for the next question.</summary>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    /// <exception cref="ChannelClosedException">The socket was disposed.</exception>
    public ValueTask<ZmtpRequest> ReceiveAsync(CancellationToken cancellationToken = default) => _inbox.Reader.ReadAsync(cancellationToken);

    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message)
    {
        // Without an envelope there is no question (RFC 28).
        if (!message.TryOpen(out var envelope, out var body)
            || !_inbox.Writer.TryWrite(new ZmtpRequest(peer, envelope.Copy(), body.Copy())))
        {
            Statistics.CountDropped();
        }
    }

    private protected override void OnDisposed() => _inbox.Writer.TryComplete();
}
