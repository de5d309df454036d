using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Sends what Kestrel writes to an HTTP/2 connection in batches. Kestrel flushes after the frames of each response, and with TLS for each
/// 4 KB: each time a record is encrypted and a system call is made. Here the responses that are ready at the same time share them, and
/// records are full. Nothing waits for a timer: a batch is sent at the end of the event loop's round, or once the thread pool has done
/// what was queued before.
/// </summary>
internal sealed class SendBatch : PipeWriter, IDuplexPipe, IThreadPoolWorkItem
{
    private const int PieceSize = 64 * 1024;
    private const int MostUnsent = 256 * 1024; // Beyond, a flush waits for the client.

    // RFC 9113 section 4.1
    private const int FrameHead = 9;
    private const int FrameType = 3;
    private const byte GoAway = 7;

    private readonly IDuplexPipe _inner;
    private readonly SslStream? _tls;
    private readonly Action _send;
    private readonly Lock _gate = new(); // guards all below; Kestrel has one writer at a time
    private readonly Queue<Piece> _pieces = new(); // in their order, the one that is written to last
    private Piece? _last;
    private bool _isWriting; // from the first memory that Kestrel gets until it flushes
    private int _unsent;
    private bool _isScheduled; // from the first flush of a batch until it is being sent
    private bool _isSending;
    private bool _isBroken;
    private TaskCompletionSource<FlushResult>? _waiting;
    private TaskCompletionSource? _sent;

    private SendBatch(ConnectionContext connection, ILogger logger)
    {
        _inner = connection.Transport;
        _tls = connection.Features.Get<ISslStreamFeature>()?.SslStream;
        _send = () => BackgroundTask.Run(SendAsync(), logger, "sending to an HTTP/2 client");
    }

    /// <inheritdoc/>
    public PipeReader Input => _inner.Input;

    /// <inheritdoc/>
    public PipeWriter Output => this;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => true;

    /// <inheritdoc/>
    public override long UnflushedBytes => _last is { } last ? last.Written - last.Flushed : 0;

    /// <summary>Puts such a transport around that of a connection.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="next">The rest of its pipeline.</param>
    /// <param name="logger">Logs unexpected errors.</param>
    public static async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next, ILogger logger)
    {
        var batch = new SendBatch(connection, logger);
        connection.Transport = batch;
        await next(connection);
        await batch.WhenSentAsync();
    }

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        if (!_isWriting || _last is null || _last.Room < Math.Max(sizeHint, 1))
        {
            lock (_gate)
            {
                _isWriting = true;
                if (_last is null || _last.Room < Math.Max(sizeHint, 1))
                {
                    FlushPieceNeedsLock();
                    _pieces.Enqueue(_last = new Piece(Math.Max(sizeHint, PieceSize)));
                }
            }
        }
        return _last.Array.AsMemory(_last.Written);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public override void Advance(int bytes) => _last!.Written += bytes;

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        ValueTask<FlushResult> result;
        bool isGoAway;
        lock (_gate)
        {
            _isWriting = false;
            isGoAway = _last is { } last && last.Written - last.Flushed >= FrameHead && last.Array[last.Flushed + FrameType] == GoAway;
            FlushPieceNeedsLock();
            var mustSchedule = _unsent > 0 && !_isSending && !_isScheduled;
            _isScheduled |= mustSchedule;
            result = _isBroken || _unsent < MostUnsent
                ? new(new FlushResult(false, _isBroken))
                : new((_waiting ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task);
            isGoAway &= !_isSending;
            if (!mustSchedule && !isGoAway)
            {
                return result;
            }
        }
        // Else never here: Kestrel holds locks, for which its other threads would wait while this one encrypts.
        if (isGoAway)
        {
            _send(); // Kestrel may reset the connection next.
        }
        else if (OperatingSystem.IsLinux() && EventLoop.Current is { } loop)
        {
            loop.AfterRound(_send);
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
        return result;
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush()
    {
        lock (_gate)
        {
            _waiting?.TrySetResult(new FlushResult(true, false));
            _waiting = null;
        }
    }

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null)
    {
        // What was flushed is sent before the connection is closed (OnConnectionAsync).
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute() => _send();

    private void FlushPieceNeedsLock()
    {
        if (_last is { } last)
        {
            _unsent += last.Written - last.Flushed;
            last.Flushed = last.Written;
        }
    }

    // Never fails. There is one at a time.
    private async Task SendAsync()
    {
        lock (_gate)
        {
            if (_isSending)
            {
                return;
            }
            (_isSending, _isScheduled) = (true, false);
        }
        for (var sent = 0; TryTake(sent, out var bytes); sent = bytes.Length)
        {
            try
            {
                if (_tls is not null)
                {
                    await _tls.WriteAsync(bytes);
                }
                else if ((await _inner.Output.WriteAsync(bytes)).IsCompleted)
                {
                    _isBroken = true;
                }
            }
            catch (Exception) // Of whatever kind: nobody awaits this, and the client gets nothing more.
            {
                _isBroken = true;
            }
        }
    }

    // The sender's next bytes; false where there are none, and it ends.
    private bool TryTake(int sent, out ReadOnlyMemory<byte> bytes)
    {
        lock (_gate)
        {
            _unsent -= sent;
            while (_pieces.TryPeek(out var piece))
            {
                piece.Sent += sent;
                sent = 0;
                if (piece.Sent < piece.Flushed && !_isBroken)
                {
                    bytes = piece.Array.AsMemory(piece.Sent, piece.Flushed - piece.Sent);
                    if (_unsent < MostUnsent)
                    {
                        EndWaitNeedsLock();
                    }
                    return true;
                }
                if (piece == _last)
                {
                    if (_isWriting)
                    {
                        break;
                    }
                    _last = null;
                }
                _pieces.Dequeue().Return();
            }
            _unsent = 0;
            _isSending = false;
            EndWaitNeedsLock();
            _sent?.TrySetResult();
            bytes = default;
            return false;
        }
    }

    private void EndWaitNeedsLock()
    {
        _waiting?.TrySetResult(new FlushResult(false, _isBroken));
        _waiting = null;
    }

    private Task WhenSentAsync()
    {
        lock (_gate)
        {
            return !_isSending && (_unsent == 0 || _isBroken) ? Task.CompletedTask
                : (_sent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Memory that Kestrel writes to, while what it has flushed is being sent.</summary>
    private sealed class Piece(int size)
    {
        public byte[] Array { get; } = ArrayPool<byte>.Shared.Rent(size);

        public int Written { get; set; }

        public int Flushed { get; set; }

        public int Sent { get; set; }

        public int Room => Array.Length - Written;

        public void Return() => ArrayPool<byte>.Shared.Return(Array);
    }
}
