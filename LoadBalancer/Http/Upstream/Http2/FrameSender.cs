using System.Buffers.Binary;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Sends a connection's frames. They gather until <see cref="Flush"/>, which is called without the connection's lock. All other methods
/// need it, so that the frames of one field section follow each other.
/// </summary>
internal sealed class FrameSender : IDisposable
{
    private const int MaxQueued = 512 * 1024; // A backend that makes room for more than it takes must not cost more memory than this.

    private readonly SendQueue _queue;
    private readonly Action _flush;
    private bool _isFlushDue;

    /// <summary>Makes the sender of a connection.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="sendTimeout">How long the backend may take nothing.</param>
    /// <param name="broken">Called when it cannot be sent to any longer: with the error, or null for the time-out.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Logs unexpected errors.</param>
    public FrameSender(IConnection connection, TimeSpan sendTimeout, Action<Exception?> broken, TimeProvider time, ILogger logger)
    {
        _queue = new SendQueue(
            connection, SendLimits.None, sendTimeout, _ => Volatile.Write(ref _isFlushDue, true), broken, time, logger);
        _flush = _queue.Flush;
    }

    /// <summary>The largest payload that the backend accepts, in bytes.</summary>
    public int MaxFrameSize { get; set; } = 16 * 1024;

    /// <summary>Whether so much waits that no more of a body should be added before <see cref="WhenNotFullAsync"/>.</summary>
    public bool IsFull => _queue.Unsent > MaxQueued;

    /// <summary>Whether so much waits that it should be flushed although more follows.</summary>
    public bool IsWorthFlushing => _queue.Unsent > MaxQueued / 8;

    /// <summary>Adds bytes that are no frame.</summary>
    public void Add(ReadOnlySpan<byte> bytes) => _queue.Add(0, bytes);

    /// <summary>Adds a frame.</summary>
    public void AddFrame(FrameType type, FrameFlags flags, int stream, ReadOnlySpan<byte> payload)
    {
        Span<byte> header = stackalloc byte[FrameHeader.Size];
        new FrameHeader(payload.Length, type, flags, stream).Write(header);
        _queue.Add(0, header, payload);
    }

    /// <summary>Adds a frame whose payload is a number.</summary>
    public void AddFrame(FrameType type, int stream, uint number)
    {
        Span<byte> payload = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(payload, number);
        AddFrame(type, FrameFlags.None, stream, payload);
    }

    /// <summary>Adds GOAWAY.</summary>
    public void AddGoAway(Http2Error code)
    {
        Span<byte> payload = stackalloc byte[8]; // The last stream that the backend has started: none.
        payload.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(payload[4..], (uint)code);
        AddFrame(FrameType.GoAway, FrameFlags.None, 0, payload);
    }

    /// <summary>Adds a field section, in as many frames as it needs.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="prefix">What comes before it in the first frame.</param>
    /// <param name="block">The section.</param>
    /// <param name="isEnd">Whether it ends the stream.</param>
    public void AddFields(int stream, ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> block, bool isEnd)
    {
        Span<byte> header = stackalloc byte[FrameHeader.Size];
        var type = FrameType.Headers;
        var flags = isEnd ? FrameFlags.EndStream : FrameFlags.None;
        do
        {
            var count = Math.Min(block.Length, MaxFrameSize - prefix.Length);
            flags |= count == block.Length ? FrameFlags.EndHeaders : FrameFlags.None;
            new FrameHeader(prefix.Length + count, type, flags, stream).Write(header);
            _queue.Add(0, header, prefix, block[..count]);
            (type, flags) = (FrameType.Continuation, FrameFlags.None);
            prefix = default;
            block = block[count..];
        }
        while (!block.IsEmpty);
    }

    /// <summary>
    /// Sends what has gathered, together with what others add until then: on an event loop after this round, else after the work that waits
    /// for a thread of the pool already: mostly requests for the same backend. Kestrel runs those of HTTP/2 clients there.
    /// </summary>
    /// <param name="isAlone">Whether no others are to be expected, so that waiting for them would only cost time.</param>
    public void Flush(bool isAlone)
    {
        if (!Volatile.Read(ref _isFlushDue) || !Interlocked.Exchange(ref _isFlushDue, false) || IoThread.TryRunAfterRound(_flush))
        {
            return;
        }
        if (isAlone)
        {
            _flush();
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(static flush => flush(), _flush, preferLocal: false);
        }
    }

    /// <summary>Waits until <see cref="IsFull"/> is over.</summary>
    public Task WhenNotFullAsync() => IsFull ? _queue.DrainAsync() : Task.CompletedTask;

    /// <summary>Sends all that has gathered, and returns when it is sent, or cannot be.</summary>
    public Task FlushAndDrainAsync()
    {
        _queue.Flush();
        return _queue.DrainAsync();
    }

    /// <inheritdoc/>
    public void Dispose() => _queue.Dispose();
}
