using System.Net;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// One HTTP/1.1 connection to a backend, which serves one request after the other. If the backend closes it while it is idle, or sends
/// anything then, it is not used again.
/// </summary>
internal sealed class Http1Connection : IDisposable
{
    private const long NoDeadline = long.MaxValue;
    private const int InitialBufferSize = 8 * 1024;

    private readonly IReusableConnection _connection;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _aborted = new();
    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(InitialBufferSize);
    private int _start;
    private int _end;
    private Action? _closed;
    private long _deadline = NoDeadline;
    private int _abortCause;

    public Http1Connection(IReusableConnection connection, TimeProvider time, HeaderLine?[] knownLines) =>
        (_connection, _time, OpenedAt, Headers) = (connection, time, time.GetTimestamp(), new HeaderLines(knownLines));

    /// <summary>See <see cref="IReusableConnection.Peer"/>.</summary>
    public IPAddress? Peer => _connection.Peer;

    /// <summary>The clock of its deadlines.</summary>
    public TimeProvider Time => _time;

    /// <summary>When it was opened; a timestamp of the clock.</summary>
    public long OpenedAt { get; }

    /// <summary>When it became idle the last time; a timestamp of the clock.</summary>
    public long IdleSince { get; private set; }

    /// <summary>How long it may be idle.</summary>
    public TimeSpan MaxIdle { get; private set; }

    /// <summary>
    /// Whether the backend may close it at any moment, as it has announced. Connections that are idle for too long are closed four times a
    /// second, which is too seldom for that. Costs nothing where the backend has announced nothing.
    /// </summary>
    public bool IsExpired => MaxIdle < ConnectionLifetime.MaxIdle && _time.GetElapsedTime(IdleSince) >= MaxIdle;

    /// <summary>Whether it has served a request before: then the backend may close it only because it was idle for too long.</summary>
    public bool IsReused { get; private set; }

    /// <summary>Whether it serves one client only, from now on.</summary>
    public bool IsBound { get; set; }

    /// <summary>The header fields of the last response, or its trailers once those are read.</summary>
    public HeaderLines Headers { get; }

    /// <summary>Cancelled when the connection is aborted; for code that waits for the client.</summary>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>Why it was aborted.</summary>
    public AbortCause AbortCause => (AbortCause)Volatile.Read(ref _abortCause);

    /// <summary>The bytes that were received and not yet consumed.</summary>
    public ReadOnlySpan<byte> Unread => _buffer.AsSpan(_start, _end - _start);

    /// <summary>See <see cref="IReusableConnection.IsCutOff"/>.</summary>
    public bool IsCutOff => _connection.IsCutOff;

    /// <summary>Sends all of it.</summary>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data) => _connection.SendAsync(data);

    /// <summary>Waits for more bytes; the count that it returns must be passed to <see cref="Received"/>.</summary>
    public ValueTask<int> ReceiveAsync()
    {
        MakeRoom();
        return _connection.ReceiveAsync(_buffer.AsMemory(_end));
    }

    /// <summary>Adds the bytes that <see cref="ReceiveAsync()"/> received to <see cref="Unread"/>.</summary>
    /// <returns>False where the backend has ended its half.</returns>
    public bool Received(int count)
    {
        _end += count;
        return count > 0;
    }

    /// <summary>Receives directly into the caller's memory; only where nothing is unread.</summary>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory) => _connection.ReceiveAsync(memory);

    /// <summary>Removes bytes from the beginning of <see cref="Unread"/>.</summary>
    public void Consume(int count)
    {
        _start += count;
        if (_start == _end)
        {
            _start = _end = 0;
        }
    }

    /// <summary>Aborts the connection after the time given, unless this or <see cref="EndDeadline"/> is called before.</summary>
    public void SetDeadline(TimeSpan fromNow) =>
        Volatile.Write(ref _deadline, _time.GetTimestamp() + (long)(fromNow.TotalSeconds * _time.TimestampFrequency));

    /// <summary>Removes the deadline.</summary>
    public void EndDeadline() => Volatile.Write(ref _deadline, NoDeadline);

    /// <summary>Aborts the connection if its deadline has passed.</summary>
    public void CheckDeadline(long now)
    {
        if (Volatile.Read(ref _deadline) <= now)
        {
            Abort(AbortCause.TimedOut);
        }
    }

    /// <summary>Closes the connection while it is in use; the first cause counts.</summary>
    public void Abort(AbortCause cause)
    {
        if (Interlocked.CompareExchange(ref _abortCause, (int)cause, (int)AbortCause.None) == (int)AbortCause.None)
        {
            _connection.Dispose();
            _aborted.Cancel();
        }
    }

    /// <summary>Makes the connection idle until its next request.</summary>
    /// <param name="maxIdle">How long it may be idle.</param>
    /// <param name="closed">Called when the backend closes it while it is idle.</param>
    /// <returns>False where it cannot be used again.</returns>
    public bool TryPark(TimeSpan maxIdle, Action<Http1Connection> closed)
    {
        if (_end > _start || AbortCause != AbortCause.None || maxIdle <= TimeSpan.Zero)
        {
            return false;
        }
        EndDeadline();
        IsReused = true;
        MaxIdle = maxIdle;
        IdleSince = _time.GetTimestamp();
        return _connection.TryPark(_buffer, _closed ??= () => closed(this));
    }

    /// <summary>Takes an idle connection into use.</summary>
    /// <returns>False where the backend has closed it.</returns>
    public bool TryResume() => _connection.TryResume();

    /// <inheritdoc/>
    public void Dispose() => _connection.Dispose();

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
            Array.Resize(ref _buffer, _buffer.Length * 2); // Limited by the parsers, which reject a head or line that is too long.
        }
    }
}
