using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// One stream of a connection: a request, and its response as it arrives. Members that say so need the lock of the connection.
/// </summary>
/// <param name="time">The clock of its deadline.</param>
/// <param name="isBodyless">Whether the response has no body, whatever its Content-Length says: it is one to HEAD.</param>
internal sealed class Http2Stream(TimeProvider time, bool isBodyless) : IDisposable
{
    /// <summary>
    /// How much the backend may send before the client has read any of it, in bytes. The window grows while the client keeps up, so that
    /// one stream can fill a fast and long path; a slow client costs this much at most, unless it was fast before.
    /// </summary>
    public const int InitialWindow = 256 * 1024;

    // 1 Gbit/s for 20 ms are 2.5 MB, of which a window must be larger, as it is only announced again when half of it is used.
    private const int MaxWindow = 8 * 1024 * 1024;
    private const int BufferSize = 4 * 1024;
    private const int StepSize = 64 * 1024;
    private const long NoDeadline = long.MaxValue;

    private readonly CancellationTokenSource _aborted = new();
    private readonly Readiness _readable = new();
    private readonly Readiness _writable = new();
    private ReceiveBuffer _received = new(); // with the lock, like all that follows up to the deadline
    private PipeWriter? _target; // what arrives is written to it at once
    private int _targetCount;
    private bool _isTargetFramed;
    private bool _isReaderWaiting;
    private bool _isWriterWaiting;
    private int _consumed; // bytes that were read, but not announced to the backend
    private int _window = InitialWindow;
    private int _windowLeft = InitialWindow;
    private long _bodyLength;
    private long _deadline = NoDeadline;
    private int _abortCause;
    private Http2Connection? _connection;

    /// <summary>Its number; 0 before it is started.</summary>
    public int Id { get; private set; }

    /// <summary>The head of the response, once it is complete.</summary>
    public FieldSection? Head { get; private set; }

    /// <summary>The fields that came after the body, once it has ended.</summary>
    public FieldSection? Trailers { get; private set; }

    /// <summary>Whether the backend has asked for the body with 100 (Continue).</summary>
    public bool IsContinued { get; private set; }

    /// <summary>How many interim responses have come.</summary>
    public int InterimResponses { get; private set; }

    /// <summary>Whether the backend has sent its end.</summary>
    public bool HasReceivedEnd { get; private set; }

    /// <summary>Whether we have sent our end.</summary>
    public bool HasSentEnd { get; private set; }

    /// <summary>Whether either side has reset it, or its connection has ended.</summary>
    public bool IsReset { get; private set; }

    /// <summary>Why the response is not complete, or null.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Whether a part of the body waits to be read, or the end has come.</summary>
    public bool HasUnread
    {
        get
        {
            lock (_connection!.Gate)
            {
                return !_received.IsEmpty || HasReceivedEnd;
            }
        }
    }

    /// <summary>Whether the end has come, and all before it was read.</summary>
    public bool IsAllRead
    {
        get
        {
            lock (_connection!.Gate)
            {
                return _received.IsEmpty && HasReceivedEnd;
            }
        }
    }

    /// <summary>How much may be sent before the backend makes more room, in bytes; negative where it has reduced it.</summary>
    public long SendWindow { get; private set; }

    /// <summary>See <see cref="Http2Connection.HasSettings"/>.</summary>
    public Task HasSettings => _connection!.HasSettings;

    /// <summary>The largest section of fields that the backend accepts, in bytes, as far as it is known.</summary>
    public long MaxHeadSize => _connection!.MaxHeadSize;

    /// <summary>Cancelled when it is aborted.</summary>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>Why it was aborted.</summary>
    public AbortCause AbortCause => (AbortCause)Volatile.Read(ref _abortCause);

    /// <summary>Aborts it after the time given, unless this or <see cref="EndDeadline"/> is called before.</summary>
    public void SetDeadline(TimeSpan fromNow) =>
        Volatile.Write(ref _deadline, time.GetTimestamp() + (long)(fromNow.TotalSeconds * time.TimestampFrequency));

    /// <summary>Removes the deadline.</summary>
    public void EndDeadline() => Volatile.Write(ref _deadline, NoDeadline);

    /// <summary>Whether its deadline has passed.</summary>
    public bool IsPastDeadline(long now) => Volatile.Read(ref _deadline) <= now;

    /// <summary>Aborts it; the first cause counts. Reads and writes that wait fail.</summary>
    public void Abort(AbortCause cause)
    {
        if (Interlocked.CompareExchange(ref _abortCause, (int)cause, (int)AbortCause.None) == (int)AbortCause.None)
        {
            Volatile.Read(ref _connection)?.Reset(this, Http2Error.Cancel);
            _aborted.Cancel();
        }
    }

    /// <summary>Resets it unless both sides have ended it, and gives back the memory of what was not read.</summary>
    public void Dispose()
    {
        if (_connection is not { } connection)
        {
            return;
        }
        if (!(HasSentEnd && HasReceivedEnd))
        {
            connection.Reset(this, Http2Error.Cancel);
        }
        lock (connection.Gate)
        {
            _received.Release();
        }
    }

    /// <summary>Waits until the head of the response is there, the backend asks for the body, or the stream has failed.</summary>
    /// <param name="knowsContinued">Whether the caller knows that <see cref="IsContinued"/>.</param>
    public ValueTask WaitForHeadAsync(bool knowsContinued) => _readable.WaitAsync(
        static wait =>
        {
            lock (wait.Stream._connection!.Gate)
            {
                var stream = wait.Stream;
                stream._isReaderWaiting = stream.Head is null && stream.Failure is null && (wait.KnowsContinued || !stream.IsContinued);
                return stream._isReaderWaiting;
            }
        },
        (Stream: this, KnowsContinued: knowsContinued));

    /// <summary>Moves the next bytes of the body to a writer; waits for them where there are none.</summary>
    /// <param name="to">Gets them. It is written to by the connection until this completes.</param>
    /// <param name="isFramed">Whether they are framed as chunks.</param>
    /// <returns>How many; 0 at the end of the body.</returns>
    /// <exception cref="Exception">The <see cref="Failure"/>.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReadAsync(PipeWriter to, bool isFramed)
    {
        var connection = _connection!;
        connection.Announce(this); // The client has taken what was read before.
        await _readable.WaitAsync(
            static wait =>
            {
                lock (wait.Stream._connection!.Gate)
                {
                    return wait.Stream.TryAwaitDataNeedsLock(wait.To, wait.IsFramed);
                }
            },
            (Stream: this, To: to, IsFramed: isFramed));
        lock (connection.Gate)
        {
            var count = _targetCount;
            (_target, _targetCount) = (null, 0);
            _consumed += count;
            return count > 0 || Failure is null ? count : throw Failure;
        }
    }

    /// <summary>Sends a part of the body, as the backend makes room for it.</summary>
    /// <param name="data">The part.</param>
    /// <param name="isLast">Whether nothing follows.</param>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data, bool isLast) =>
        _connection!.TrySend(this, ref data, isLast) ? ValueTask.CompletedTask : SendRestAsync(data, isLast);

    /// <summary>Sends the fields that follow the body, and the end.</summary>
    public void SendTrailers(ReadOnlySpan<byte> block) => _connection!.SendTrailers(this, block);

    /// <summary>Sends what is still buffered.</summary>
    public void Flush() => _connection!.Flush();

    /// <summary>Begins it. Needs the lock.</summary>
    public void Start(Http2Connection connection, int id, long sendWindow, bool isEnd)
    {
        Volatile.Write(ref _connection, connection);
        (Id, SendWindow, HasSentEnd) = (id, sendWindow, isEnd);
    }

    /// <summary>A part of the request's body was sent. Needs the lock.</summary>
    public void CountSentNeedsLock(int count, bool isEnd)
    {
        SendWindow -= count;
        HasSentEnd |= isEnd;
    }

    /// <summary>The backend has made room, or taken it back. Needs the lock.</summary>
    /// <returns>False where it is more than RFC 9113 section 6.9.1 allows.</returns>
    public bool TryAddRoomNeedsLock(int count)
    {
        SendWindow += count;
        return SendWindow <= int.MaxValue;
    }

    /// <summary>How much of the window can be announced to the backend again; 0 while it is not worth a frame. Needs the lock.</summary>
    public int TakeAnnouncementNeedsLock()
    {
        if (_consumed < _window / 2 || HasReceivedEnd || IsReset)
        {
            return 0;
        }
        var (more, grown) = (_consumed, 0);
        if (_received.IsEmpty && _window < MaxWindow)
        {
            grown = _window; // The client waits for the backend, and not the other way round.
        }
        _window += grown;
        _windowLeft += more + grown;
        _consumed = 0;
        return more + grown;
    }

    /// <summary>Adds a part of the response's body. Needs the lock.</summary>
    /// <param name="data">The part.</param>
    /// <param name="flowLength">What counts for flow control: padding too.</param>
    /// <param name="wake">Gets the waits that end.</param>
    /// <returns>Why the stream is to be reset, or null.</returns>
    public (Http2Error Code, string Reason)? AddDataNeedsLock(ReadOnlySpan<byte> data, int flowLength, List<Readiness> wake)
    {
        _windowLeft -= flowLength;
        _consumed += flowLength - data.Length;
        if (_windowLeft < 0)
        {
            return (Http2Error.FlowControlError, "more of a body than there is room for");
        }
        if (Head is null || HasReceivedEnd)
        {
            return (Head is null ? Http2Error.ProtocolError : Http2Error.StreamClosed, "a body where there can be none");
        }
        _bodyLength += data.Length;
        if (Head.ContentLength >= 0 && _bodyLength > Head.ContentLength && !isBodyless)
        {
            return (Http2Error.ProtocolError, "the body is longer than its Content-Length");
        }
        if (data.IsEmpty)
        {
            return null;
        }
        if (_target is not { } target)
        {
            data.CopyTo(_received.Room(data.Length, BufferSize).Span);
            _received.Advance(data.Length);
        }
        else
        {
            try
            {
                ClientFraming.WritePiece(target, data, _isTargetFramed);
                _targetCount += data.Length;
            }
            catch (Exception e) when (e is InvalidOperationException or ObjectDisposedException or IOException or ArgumentException)
            {
                return (Http2Error.Cancel, "the client's response has ended"); // Kestrel has ended it meanwhile.
            }
        }
        WakeReaderNeedsLock(wake);
        return null;
    }

    /// <summary>Adds a complete section of fields. Needs the lock.</summary>
    /// <returns>Why the stream is to be reset, or null.</returns>
    public string? AddFieldsNeedsLock(FieldSection fields, bool isEnd, List<Readiness> wake)
    {
        if (fields.Fault is not null)
        {
            return fields.Fault;
        }
        if (fields.IsTrailers)
        {
            Trailers = fields;
            return isEnd && !HasReceivedEnd ? null : "fields after the head that are not its trailers";
        }
        if (fields.Status < 200)
        {
            InterimResponses++;
            IsContinued |= fields.Status == 100;
            if (fields.FaultOfHead(isEnd) is { } fault)
            {
                return fault;
            }
            if (IsContinued)
            {
                WakeReaderNeedsLock(wake);
            }
            return InterimResponses <= Exchange.MaxInterimResponses ? null : $"more than {Exchange.MaxInterimResponses} interim responses";
        }
        Head = fields;
        WakeReaderNeedsLock(wake);
        return null;
    }

    /// <summary>The backend has sent its end. Needs the lock.</summary>
    /// <returns>Why the stream is to be reset, or null.</returns>
    public string? EndNeedsLock(List<Readiness> wake)
    {
        if (Head is { ContentLength: >= 0 } head && _bodyLength < head.ContentLength && !isBodyless && head.Status is not (204 or 304))
        {
            return $"stream ended {head.ContentLength - _bodyLength} bytes before the end";
        }
        HasReceivedEnd = true;
        WakeReaderNeedsLock(wake);
        return null;
    }

    /// <summary>Ends it in both directions. What has arrived can still be read. Needs the lock.</summary>
    /// <param name="reason">Why; not used where the response is complete.</param>
    /// <param name="wake">Gets the waits that end.</param>
    public void FailNeedsLock(Exception reason, List<Readiness> wake)
    {
        IsReset = true;
        if (!HasReceivedEnd)
        {
            Failure ??= reason;
        }
        WakeReaderNeedsLock(wake);
        WakeWriterNeedsLock(wake);
    }

    /// <summary>Ends a wait for room. Needs the lock.</summary>
    public void WakeWriterNeedsLock(List<Readiness> wake)
    {
        if (_isWriterWaiting)
        {
            _isWriterWaiting = false;
            wake.Add(_writable);
        }
    }

    private void WakeReaderNeedsLock(List<Readiness> wake)
    {
        if (_isReaderWaiting)
        {
            _isReaderWaiting = false;
            wake.Add(_readable);
        }
    }

    private bool TryAwaitDataNeedsLock(PipeWriter to, bool isFramed)
    {
        if (!_received.IsEmpty)
        {
            _targetCount = Math.Min(_received.Length, StepSize);
            ClientFraming.WritePiece(to, _received.Span[.._targetCount], isFramed);
            _received.Consume(_targetCount);
            if (_received.IsEmpty)
            {
                _received.Release();
            }
            return false;
        }
        _isReaderWaiting = !HasReceivedEnd && Failure is null;
        (_target, _isTargetFramed) = (_isReaderWaiting ? to : null, isFramed);
        return _isReaderWaiting;
    }

    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> data, bool isLast)
    {
        var connection = _connection!;
        do
        {
            connection.Flush();
            await connection.WhenNotFullAsync();
            if (data.IsEmpty)
            {
                continue; // An empty frame needs no room.
            }
            await _writable.WaitAsync(
                static stream =>
                {
                    lock (stream._connection!.Gate)
                    {
                        stream._isWriterWaiting = !stream.IsReset && !stream._connection.HasRoomNeedsLock(stream);
                        return stream._isWriterWaiting;
                    }
                },
                this);
        }
        while (!connection.TrySend(this, ref data, isLast));
    }
}
