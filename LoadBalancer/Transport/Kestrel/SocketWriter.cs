using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Writes to a socket. A flush sends at once, and is over when the kernel has taken everything; if the client does not read, it
/// waits. Bytes that a cancelled flush has left are still sent. Unlike <see cref="SendQueue"/>, into which messages are
/// copied, it hands out the memory that Kestrel writes into, and keeps what is unsent in pieces as they were written.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class SocketWriter(ClientSocket socket) : PipeWriter, IValueTaskSource<FlushResult>
{
    private const int SmallPiece = 4 * 1024;
    private const int LargePiece = 32 * 1024;

    // Guards all fields below except the piece that is being written, which only the writer uses. Nothing else is locked inside.
    private readonly Lock _gate = new();
    private Piece _current;
    private long _unflushed;
    private long _sentBytes;
    private Piece _head; // the first unsent piece
    private Queue<Piece>? _rest;
    private bool _isSending; // The loop sends the rest when there is room.
    private bool _isFlushing; // A caller waits for that.
    private bool _cancelRequested;
    private bool _isCompleted;
    private bool _isBroken;
    private TaskCompletionSource? _sent;
    private CancellationTokenRegistration _registration;
    private ManualResetValueTaskSourceCore<FlushResult> _result; // continues inline

    /// <summary>Whether bytes wait for the client to read.</summary>
    public bool IsSending => Volatile.Read(ref _isSending);

    /// <summary>How many bytes the kernel has taken so far.</summary>
    public long Sent => Volatile.Read(ref _sentBytes);

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => _unflushed;

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ObjectDisposedException.ThrowIf(_isCompleted, this);
        if (_current.Room < Math.Max(sizeHint, 1))
        {
            var size = _current.IsEmpty ? SmallPiece : LargePiece;
            lock (_gate)
            {
                EnqueueNeedsLock();
            }
            _current = new Piece(ArrayPool<byte>.Shared.Rent(Math.Max(sizeHint, size)));
        }
        return _current.Array.AsMemory(_current.End);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)bytes, (uint)_current.Room);
        _current.End += bytes;
        _unflushed += bytes;
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }
        short version;
        lock (_gate)
        {
            _unflushed = 0;
            SendNeedsLock();
            if (!_isSending || _cancelRequested)
            {
                var result = new FlushResult(_cancelRequested, _isBroken || _isCompleted);
                _cancelRequested = false;
                return new(result);
            }
            version = _result.Version;
            if (_isFlushing)
            {
                return new(this, version); // There may be another flush while one is under way, but only one is awaited.
            }
            _result.Reset();
            version = _result.Version;
            _isFlushing = true;
        }
        if (cancellationToken.CanBeCanceled)
        {
            _registration = cancellationToken.UnsafeRegister(static (state, token) => ((SocketWriter)state!).Cancel(token), this);
        }
        return new(this, version);
    }

    /// <summary>
    /// Writes and flushes. TLS writes each record so: where nothing waits it is sent from where it is, in one call, and only what the
    /// kernel does not take is copied.
    /// </summary>
    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (!cancellationToken.IsCancellationRequested)
        {
            lock (_gate)
            {
                if (_current.IsEmpty && !_isSending && _rest is null or { Count: 0 } && !_isCompleted)
                {
                    source = source[TrySendAtOnceNeedsLock(source.Span)..];
                    if (source.IsEmpty && !_cancelRequested)
                    {
                        return new(new FlushResult(false, _isBroken));
                    }
                }
            }
        }
        this.Write(source.Span);
        return FlushAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => Cancel(null);

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        lock (_gate)
        {
            if (_isCompleted)
            {
                return;
            }
            if (exception is not null)
            {
                BreakNeedsLock();
            }
            SendNeedsLock();
            _isCompleted = true;
        }
    }

    /// <summary>Returns when all bytes were sent, or the connection is broken; call it after <see cref="Complete"/>.</summary>
    public Task WhenSentAsync()
    {
        lock (_gate)
        {
            return !_isSending ? Task.CompletedTask
                : (_sent ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>There is room; called by the loop.</summary>
    public void OnWritable()
    {
        bool wasFlushing;
        lock (_gate)
        {
            SendUnsentNeedsLock();
            if (_isSending)
            {
                return;
            }
            wasFlushing = _isFlushing;
            _isFlushing = false;
            _sent?.TrySetResult();
        }
        if (wasFlushing)
        {
            _result.SetResult(new FlushResult(false, _isBroken));
        }
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token)
    {
        _registration.Dispose();
        _registration = default;
        return _result.GetResult(token);
    }

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _result.GetStatus(token);

    void IValueTaskSource<FlushResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _result.OnCompleted(continuation, state, token, flags);

    private void Cancel(CancellationToken? token)
    {
        lock (_gate)
        {
            if (!_isFlushing)
            {
                _cancelRequested |= token is null;
                return;
            }
            _isFlushing = false;
        }
        if (token is null)
        {
            _result.SetResult(new FlushResult(true, false));
        }
        else
        {
            _result.SetException(new OperationCanceledException(token.Value));
        }
    }

    // Usually there is one piece, and the kernel takes all of it.
    private void SendNeedsLock()
    {
        if (!_isSending && _rest is null or { Count: 0 } && TrySendNeedsLock(ref _current, false))
        {
            _current.Return();
            return;
        }
        var isAwaited = _isSending || _rest is null or { Count: 0 };
        EnqueueNeedsLock();
        _isSending = true;
        if (!isAwaited)
        {
            SendUnsentNeedsLock();
        }
    }

    // Sends until nothing is left, or until an event must be awaited.
    private void SendUnsentNeedsLock()
    {
        do
        {
            if (!TrySendNeedsLock(ref _head, _rest!.Count > 0))
            {
                return;
            }
            _head.Return();
        }
        while (_rest.TryDequeue(out _head));
        _isSending = false;
    }

    /// <returns>False if bytes are left: an event follows.</returns>
    private bool TrySendNeedsLock(ref Piece piece, bool moreFollows)
    {
        try
        {
            while (!piece.IsEmpty && !_isBroken)
            {
                var count = socket.Send(piece.Unsent, moreFollows);
                piece.Start += count;
                _sentBytes += count;
                if (!piece.IsEmpty && socket.TryAwaitWritable())
                {
                    return false;
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            BreakNeedsLock();
        }
        return true;
    }

    /// <returns>How many bytes need not be sent any more: those that the kernel took, or all where the connection is broken.</returns>
    private int TrySendAtOnceNeedsLock(ReadOnlySpan<byte> bytes)
    {
        try
        {
            var count = _isBroken ? bytes.Length : bytes.IsEmpty ? 0 : socket.Send(bytes, false);
            _sentBytes += _isBroken ? 0 : count;
            return count;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            BreakNeedsLock();
            return bytes.Length;
        }
    }

    private void EnqueueNeedsLock()
    {
        if (_current.IsEmpty || _isBroken)
        {
            _current.Return();
        }
        else
        {
            (_rest ??= new Queue<Piece>()).Enqueue(_current);
            _current = default;
        }
    }

    // The client will read none of it.
    private void BreakNeedsLock()
    {
        _isBroken = true;
        while (_rest is not null && _rest.TryDequeue(out var piece))
        {
            piece.Return();
        }
    }

    private struct Piece(byte[] array)
    {
        public int Start;
        public int End;

        public readonly byte[]? Array => array;

        public readonly bool IsEmpty => Start == End;

        public readonly int Room => array is null ? 0 : array.Length - End;

        public readonly ReadOnlySpan<byte> Unsent => array.AsSpan(Start, End - Start);

        public void Return()
        {
            if (array is not null)
            {
                ArrayPool<byte>.Shared.Return(array);
            }
            this = default;
        }
    }
}
