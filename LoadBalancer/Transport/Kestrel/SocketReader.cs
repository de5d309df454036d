using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Reads from a socket on demand, never ahead: unread bytes stay with the kernel, and then with the client. Bytes that were not consumed
/// are in one piece of memory; without such bytes there is no buffer.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class SocketReader(ClientSocket socket, RequestBoundary boundary) : PipeReader, IValueTaskSource<ReadResult>
{
    private const int SmallStep = 4 * 1024;
    private const int LargeStep = 64 * 1024;
    private const int LeastRoom = 1024;

    private ReceiveBuffer _received = new();
    private int _step = SmallStep;
    private bool _hasNews; // There are bytes that were not examined yet.
    private bool _isAtEnd;
    private bool _isCompleted;
    private bool _hasLeftBytes; // when it was completed
    private volatile bool _cancelRequested;
    private Exception? _failure;
    private CancellationToken _token;
    private CancellationTokenRegistration _registration;
    private ManualResetValueTaskSourceCore<ReadResult> _result; // continues inline

    /// <summary>Whether all bytes were consumed and the next bytes begin a new request.</summary>
    public bool IsAtBoundary => boundary.IsReached && _received.IsEmpty && !_isCompleted && !_cancelRequested;

    /// <summary>
    /// Whether the client may still be sending, once nobody reads any more: there are unread bytes, or the last request may not have ended.
    /// </summary>
    public bool MayReceiveMore =>
        !_isAtEnd && _failure is null && (_hasLeftBytes || !boundary.IsReached || socket.IsReadable);

    /// <inheritdoc/>
    public override bool TryRead(out ReadResult result)
    {
        ObjectDisposedException.ThrowIf(_isCompleted, this);
        var isCanceled = _cancelRequested;
        if (isCanceled)
        {
            _cancelRequested = false;
        }
        else if (socket.AbortReason is { } reason)
        {
            throw reason;
        }
        else if (!_hasNews && !_isAtEnd && !TryReceive())
        {
            result = default;
            return false;
        }
        if (!_received.IsEmpty)
        {
            boundary.IsReached = false; // Even a part of a request head may be consumed.
        }
        result = new ReadResult(_received.Sequence, isCanceled, _isAtEnd);
        return true;
    }

    /// <inheritdoc/>
    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }
        var hasUsedItsReadBudget = !_hasNews && !_isAtEnd && !_isCompleted && socket.HasUsedItsReadBudget;
        try
        {
            if (!hasUsedItsReadBudget && TryRead(out var result))
            {
                return new(result);
            }
        }
        catch (Exception e)
        {
            return ValueTask.FromException<ReadResult>(e);
        }
        _result.Reset();
        _token = cancellationToken;
        var version = _result.Version; // From the wait on, another thread may complete it.
        if (cancellationToken.CanBeCanceled)
        {
            _registration = cancellationToken.UnsafeRegister(static state => ((SocketReader)state!).Interrupt(), this);
        }
        if (hasUsedItsReadBudget)
        {
            socket.Yield();
        }
        else
        {
            Await();
        }
        return new(this, version);
    }

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    /// <inheritdoc/>
    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (_isCompleted)
        {
            return;
        }
        var unread = _received.Sequence;
        _hasNews = !unread.Slice(examined).IsEmpty;
        var count = _received.Length - (int)unread.Slice(consumed).Length;
        _received.Consume(count);
        boundary.Consume(count);
        if (_received.IsEmpty)
        {
            _received.Release();
        }
    }

    /// <inheritdoc/>
    public override void CancelPendingRead()
    {
        _cancelRequested = true;
        Interrupt();
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        if (!_isCompleted)
        {
            (_isCompleted, _hasLeftBytes) = (true, !_received.IsEmpty);
            _received.Release();
            Interrupt();
        }
    }

    /// <summary>The wait is over; called by the loop, or by the thread that claimed it.</summary>
    public void OnReadable()
    {
        if (!TryComplete())
        {
            Await();
        }
    }

    /// <summary>Waits again; for a caller that has cancelled a wait (<see cref="EpollSocket.TryUnawaitReadable"/>).</summary>
    public void Await()
    {
        while (!socket.TryAwaitReadable() && !TryComplete())
        {
        }
    }

    /// <summary>Ends the pending read as if the connection had ended; for a caller that has cancelled its wait.</summary>
    public void End()
    {
        _isAtEnd = true;
        _result.SetResult(new ReadResult(_received.Sequence, false, true));
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token)
    {
        _registration.Dispose();
        _registration = default;
        _token = default;
        return _result.GetResult(token);
    }

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _result.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _result.OnCompleted(continuation, state, token, flags);

    private void Interrupt()
    {
        if (socket.TryClaimReadable())
        {
            OnReadable();
        }
    }

    private bool TryComplete()
    {
        ReadResult result;
        try
        {
            _token.ThrowIfCancellationRequested();
            if (!TryRead(out result))
            {
                return false;
            }
        }
        catch (Exception e)
        {
            _result.SetException(e);
            return true;
        }
        _result.SetResult(result);
        return true;
    }

    private bool TryReceive()
    {
        if (_failure is not null)
        {
            throw _failure;
        }
        if (!socket.IsReadable)
        {
            return false;
        }
        // The buffer is bounded: Kestrel rejects a head that is too long.
        var room = _received.Room(LeastRoom, _step).Span;
        int count;
        try
        {
            count = socket.Receive(room);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _failure = socket.AbortReason as Exception ?? new ConnectionResetException(e.Message, e);
            throw _failure;
        }
        if (count > 0)
        {
            _hasNews = true;
            _step = _received.Advance(count) ? LargeStep : count <= SmallStep ? SmallStep : _step;
            return true;
        }
        if (_received.IsEmpty)
        {
            _received.Release();
        }
        _isAtEnd = count == 0;
        return _isAtEnd;
    }
}
