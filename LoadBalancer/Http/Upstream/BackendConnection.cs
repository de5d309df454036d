using LoadBalancer.Http.Messages;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream;

/// <summary>Why we closed a connection in the middle of something.</summary>
internal enum AbortCause
{
    None,

    /// <summary>The client went away, or its message is broken: nobody waits for an answer any longer.</summary>
    Client,

    /// <summary>A deadline passed.</summary>
    TimedOut,

    /// <summary>The answer came, and ended, before the request did.</summary>
    AnsweredEarly,
}

/// <summary>
/// One connection to a backend, serving one request after the other over its wire. If the wire closes while it lies idle, because
/// the backend closed it or sent what nobody asked for, the connection is not used again.
/// </summary>
internal sealed class BackendConnection : IUploadTarget, IDisposable
{
    private const long NoDeadline = long.MaxValue;
    private const int InitialBufferSize = 8 * 1024;

    private readonly IRestingWire _wire;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _aborted = new();
    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(InitialBufferSize);
    private int _start;
    private int _end;
    private Action? _closed;
    private long _deadline = NoDeadline;
    private int _abortCause;

    public BackendConnection(IRestingWire wire, TimeProvider time, HeaderLine?[] knownLines) =>
        (_wire, _time, OpenedAt, Headers) = (wire, time, time.GetTimestamp(), new HeaderLines(knownLines));

    /// <summary>The clock of its deadlines.</summary>
    public TimeProvider Time => _time;

    /// <summary>When it was opened; a timestamp of the clock.</summary>
    public long OpenedAt { get; }

    /// <summary>When it last fell idle; a timestamp of the clock.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Whether it has served a request before, so that its death may mean no more than that it was too old.</summary>
    public bool IsReused { get; private set; }

    /// <summary>The header fields of the last response, or its trailers once those are read.</summary>
    public HeaderLines Headers { get; }

    /// <inheritdoc/>
    public bool WantsChunks => true;

    /// <summary>Cancelled when the connection is aborted; for whatever waits for the other side of the exchange.</summary>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>Why it was aborted.</summary>
    public AbortCause AbortCause => (AbortCause)Volatile.Read(ref _abortCause);

    /// <summary>What was received and not yet consumed.</summary>
    public ReadOnlySpan<byte> Unread => _buffer.AsSpan(_start, _end - _start);

    /// <summary>Sends all of it.</summary>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data) => _wire.SendAsync(data);

    /// <inheritdoc/>
    public ValueTask FlushAsync() => ValueTask.CompletedTask;

    /// <summary>Waits for what comes next; its count must be given to <see cref="Received"/>.</summary>
    public ValueTask<int> ReceiveAsync()
    {
        MakeRoom();
        return _wire.ReceiveAsync(_buffer.AsMemory(_end));
    }

    /// <summary>Adds to <see cref="Unread"/> what <see cref="ReceiveAsync()"/> waited for.</summary>
    /// <returns>False where the backend has ended its half.</returns>
    public bool Received(int count)
    {
        _end += count;
        return count > 0;
    }

    /// <summary>Receives straight into somebody else's memory; only where nothing is unread.</summary>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory) => _wire.ReceiveAsync(memory);

    /// <summary>Drops what was dealt with from <see cref="Unread"/>.</summary>
    public void Consume(int count)
    {
        _start += count;
        if (_start == _end)
        {
            _start = _end = 0;
        }
    }

    /// <summary>From now on the connection is aborted unless this is called again, or <see cref="EndDeadline"/>, within the time given.</summary>
    public void SetDeadline(TimeSpan fromNow) =>
        Volatile.Write(ref _deadline, _time.GetTimestamp() + (long)(fromNow.TotalSeconds * _time.TimestampFrequency));

    /// <summary>Nothing is awaited any longer.</summary>
    public void EndDeadline() => Volatile.Write(ref _deadline, NoDeadline);

    /// <summary>Aborts the connection where its deadline has passed.</summary>
    public void CheckDeadline(long now)
    {
        if (Volatile.Read(ref _deadline) <= now)
        {
            Abort(AbortCause.TimedOut);
        }
    }

    /// <summary>Closes the connection under whoever uses it; the first cause given stands.</summary>
    public void Abort(AbortCause cause)
    {
        if (Interlocked.CompareExchange(ref _abortCause, (int)cause, (int)AbortCause.None) == (int)AbortCause.None)
        {
            _wire.Dispose();
            _aborted.Cancel();
        }
    }

    /// <summary>Makes the connection wait for its next request.</summary>
    /// <param name="closed">Called when the backend closes it before that.</param>
    /// <returns>False where it is of no further use.</returns>
    public bool TryRest(Action<BackendConnection> closed)
    {
        if (_end > _start || AbortCause != AbortCause.None)
        {
            return false;
        }
        EndDeadline();
        IsReused = true;
        IdleSince = _time.GetTimestamp();
        return _wire.TryRest(_buffer, _closed ??= () => closed(this));
    }

    /// <summary>Takes an idle connection into use.</summary>
    /// <returns>False where the backend has closed it.</returns>
    public bool TryWake() => _wire.TryWake();

    /// <inheritdoc/>
    public void Dispose() => _wire.Dispose();

    private void MakeRoom()
    {
        if (_buffer.Length - _end >= InitialBufferSize / 2)
        {
            return;
        }
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }
        else if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, _buffer.Length * 2); // Ends where the parsers refuse: a head or a line has its limit.
        }
    }
}
