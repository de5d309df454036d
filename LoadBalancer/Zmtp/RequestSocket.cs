using System.Net.Sockets;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A REQ: asks one question at a time of the peer that it is connected to. Where an answer is given up, or the connection lost before
/// it, the next question goes over a new connection: an answer that comes late is never taken for another's.
/// </summary>
/// <param name="limits">What it takes; the defaults where that is null.</param>
/// <param name="time">The clock.</param>
public sealed class RequestSocket(ZmtpLimits? limits = null, TimeProvider? time = null) : ZmtpSocket(ZmtpSocketType.Req, limits, time)
{
    private readonly Lock _gate = new();
    private readonly List<ZmtpPeer> _peers = [];
    private TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource<ZmtpMessage>? _answer;
    private ZmtpPeer? _asked;
    private uint _next;

    /// <summary>Asks, and waits for the answer; before that for a connection, where there is none.</summary>
    /// <param name="question">Without an envelope.</param>
    /// <param name="cancellationToken">Gives the answer up.</param>
    /// <returns>The answer, without its envelope.</returns>
    /// <exception cref="SocketException">The connection was lost. Whether the question was dealt with nobody knows.</exception>
    /// <exception cref="InvalidOperationException">The answer to another question has not come yet.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<ZmtpMessage> RequestAsync(ZmtpMessage question, CancellationToken cancellationToken = default)
    {
        var answer = new TaskCompletionSource<ZmtpMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (Interlocked.CompareExchange(ref _answer, answer, null) is not null)
        {
            throw new InvalidOperationException("a REQ asks one question at a time");
        }
        try
        {
            while (!TryAsk(question, out var connected))
            {
                await connected.WaitAsync(cancellationToken);
            }
            return await answer.Task.WaitAsync(cancellationToken);
        }
        finally
        {
            ZmtpPeer? unanswered;
            lock (_gate)
            {
                (unanswered, _asked, _answer) = (answer.Task.IsCompleted ? null : _asked, null, null);
            }
            unanswered?.Close();
        }
    }

    internal override void OnAdmitted(ZmtpPeer peer)
    {
        lock (_gate)
        {
            _peers.Add(peer);
            _connected.TrySetResult();
        }
    }

    internal override void OnMessage(ZmtpPeer peer, in ZmtpMessage message)
    {
        lock (_gate)
        {
            if (peer == _asked && message.TryOpen(out var envelope, out var body) && envelope.Wire.Length == ZmtpEnvelope.Empty.Wire.Length)
            {
                _asked = null;
                _answer!.TrySetResult(body.Copy());
                return;
            }
        }
        Statistics.CountDropped();
    }

    internal override void OnGone(ZmtpPeer peer)
    {
        lock (_gate)
        {
            _peers.Remove(peer);
            if (_peers.Count == 0 && _connected.Task.IsCompletedSuccessfully)
            {
                _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
            if (peer == _asked)
            {
                _asked = null;
                _answer!.TrySetException(new SocketException((int)SocketError.ConnectionReset));
            }
        }
    }

    private protected override void OnDisposed()
    {
        lock (_gate)
        {
            _connected.TrySetException(new ObjectDisposedException(nameof(RequestSocket)));
            _ = _connected.Task.Exception; // seen, where nobody waits
        }
    }

    // Several peers take turns, those that are closed left out.
    private bool TryAsk(in ZmtpMessage question, out Task connected)
    {
        SendBurst.Begin();
        try
        {
            lock (_gate)
            {
                connected = _connected.Task;
                for (var i = _peers.Count; i > 0; i--)
                {
                    var peer = _peers[(int)(_next++ % (uint)_peers.Count)];
                    if (peer.Send(ZmtpEnvelope.Empty, question))
                    {
                        _asked = peer;
                        return true;
                    }
                }
                if (_connected.Task.IsCompletedSuccessfully) // All of them are about to be gone.
                {
                    connected = (_connected = new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
                }
                return false;
            }
        }
        finally
        {
            SendBurst.End();
        }
    }
}
