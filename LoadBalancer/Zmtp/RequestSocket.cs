using System.Net.Sockets;

namespace LoadBalancer.Zmtp;

/// <summary>
/// A REQ: sends one request at a time to the peer that it is connected to. If a request is cancelled or its connection lost, the next
/// request uses a new connection, so that a late answer is never taken for the answer to another request.
/// </summary>
/// <param name="limits">The limits of the socket; null for the defaults.</param>
/// <param name="time">The clock.</param>
public sealed class RequestSocket(ZmtpLimits? limits = null, TimeProvider? time = null) : ZmtpSocket(ZmtpSocketType.Req, limits, time)
{
    private readonly Lock _gate = new();
    private readonly List<ZmtpPeer> _peers = [];
    private TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource<ZmtpMessage>? _answer;
    private ZmtpPeer? _asked;
    private uint _next;

    /// <summary>Sends a request and waits for the answer; before that it waits for a connection, if there is none.</summary>
    /// <param name="question">The request, without an envelope.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The answer, without its envelope.</returns>
    /// <exception cref="SocketException">The connection was lost. The server may have handled the request or not.</exception>
    /// <exception cref="InvalidOperationException">Another request is still waiting for its answer.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
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
            _ = _connected.Task.Exception; // observed, in case no caller waits
        }
    }

    // Round robin over the peers whose connections are open.
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
                if (_connected.Task.IsCompletedSuccessfully) // All connections are about to close.
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
