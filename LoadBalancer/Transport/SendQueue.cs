using System.Buffers;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>How much may wait in a <see cref="SendQueue"/>.</summary>
/// <param name="Bytes">In bytes; an empty queue accepts any length.</param>
/// <param name="Messages">In messages; commands do not count.</param>
internal readonly record struct SendLimits(long Bytes, int Messages)
{
    /// <summary>No limit: the caller of Add watches <see cref="SendQueue.Unsent"/>.</summary>
    public static readonly SendLimits None = new(long.MaxValue, int.MaxValue);
}

/// <summary>
/// The bytes to be sent to one peer. They gather until the owner flushes them, and while earlier bytes are being sent, so that one call
/// sends many messages. Any threads may add at the same time; one at a time sends. Bytes that cannot be sent are dropped. They wait in
/// buffers of at most 64 KiB: the pool of arrays would keep larger ones for good.
/// Not used for Kestrel's responses (<see cref="Kestrel.SocketWriter"/>): Kestrel writes into memory that it asks for, so nothing is
/// copied, and waits until all has been sent.
/// </summary>
internal sealed class SendQueue : IDisposable
{
    private const int SmallBuffer = 512;
    private const int LargeBuffer = 64 * 1024; // the most that one call sends; each completed call shows that the peer reads

    private readonly IConnection _connection;
    private readonly SendLimits _limits;
    private readonly TimeSpan _sendTimeout;
    private readonly Action<SendQueue> _due;
    private readonly Action<Exception?> _broken;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly BufferShare? _share;
    private readonly Lock _gate = new(); // innermost lock: nothing is called or locked inside
    private Queue<Buffer>? _full; // before _last; null until the peer does not read at once
    private Buffer _last = new([], 0, 0);
    private long _unsent; // bytes, those being sent included
    private int _unsentMessages;
    private int _sentLast; // the size of the last send, a guess for the next buffer
    private long _held; // bytes counted in _share
    private bool _isHeldUp; // the peer has not read at once: what waits is counted
    private bool _isSending;
    private bool _isDue; // Flush will be called
    private bool _isClosed;
    private TaskCompletionSource? _drained;
    private Action? _whenSent;
    private ITimer? _stall; // used by the sending thread only

    /// <summary>Makes the queue of a connection.</summary>
    /// <param name="connection">The connection; only this queue sends on it.</param>
    /// <param name="limits">How much may wait.</param>
    /// <param name="sendTimeout">How long the peer may take nothing of what is being sent.</param>
    /// <param name="due">Called when bytes wait and no send is running: <see cref="Flush"/> must be called, now or soon.</param>
    /// <param name="broken">
    /// Called once, on any thread, when a send has failed: with the error, or null for the time-out.
    /// </param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Logs unexpected errors.</param>
    /// <param name="share">Counts the bytes that wait because the peer does not read; null if nothing counts them.</param>
    public SendQueue(
        IConnection connection, SendLimits limits, TimeSpan sendTimeout, Action<SendQueue> due, Action<Exception?> broken,
        TimeProvider time, ILogger logger, BufferShare? share = null)
    {
        (_connection, _limits, _sendTimeout, _due) = (connection, limits, sendTimeout, due);
        (_broken, _time, _logger, _share) = (broken, time, logger, share);
    }

    /// <summary>The result of adding bytes.</summary>
    public enum Outcome
    {
        /// <summary>It will be sent.</summary>
        Taken,

        /// <summary>There is no room.</summary>
        Full,

        /// <summary>The peer is gone.</summary>
        Closed,
    }

    /// <summary>How many bytes were added and not sent yet, those that are being sent included.</summary>
    public long Unsent => Volatile.Read(ref _unsent);

    /// <summary>How many messages were added and not sent yet.</summary>
    public int UnsentMessages => Volatile.Read(ref _unsentMessages);

    /// <summary>Adds bytes in up to five parts, all of them or nothing.</summary>
    /// <param name="messages">As how many messages they count.</param>
    /// <param name="first">The first part.</param>
    /// <param name="second">The next one.</param>
    /// <param name="third">The next one.</param>
    /// <param name="fourth">The next one.</param>
    /// <param name="fifth">The last one.</param>
    public Outcome Add(
        int messages, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default, ReadOnlySpan<byte> third = default,
        ReadOnlySpan<byte> fourth = default, ReadOnlySpan<byte> fifth = default)
    {
        int held;
        bool isDue;
        lock (_gate)
        {
            if (_isClosed)
            {
                return Outcome.Closed;
            }
            var length = first.Length + second.Length + third.Length + fourth.Length + fifth.Length;
            if (messages > 0 && _unsentMessages >= _limits.Messages || _unsent > 0 && _unsent + length > _limits.Bytes)
            {
                return Outcome.Full;
            }
            CopyNeedsLock(first, length);
            CopyNeedsLock(second);
            CopyNeedsLock(third);
            CopyNeedsLock(fourth);
            CopyNeedsLock(fifth);
            _last.Messages += messages;
            _unsent += length;
            _unsentMessages += messages;
            held = _isHeldUp ? length : 0;
            _held += held;
            isDue = !_isSending && !_isDue; // A running send will take it.
            _isDue |= isDue;
        }
        if (held > 0)
        {
            _share?.Change(held);
        }
        if (isDue)
        {
            _due(this);
        }
        return Outcome.Taken;
    }

    /// <summary>Sends the waiting bytes, after the present send if one is running.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            _isDue = false;
            if (_isSending || _unsent == 0)
            {
                return;
            }
            _isSending = true;
        }
        SendAll();
    }

    /// <summary>Completes when all has been sent, or cannot be.</summary>
    public Task DrainAsync()
    {
        lock (_gate)
        {
            return _isClosed || _unsent == 0 && !_isSending ? Task.CompletedTask
                : (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>
    /// Calls this when all has been sent: at once, or on the thread that has sent the last byte, so that nothing comes in between. Not
    /// called where it cannot be sent.
    /// </summary>
    public void WhenSent(Action action)
    {
        lock (_gate)
        {
            if (!_isClosed && (_unsent > 0 || _isSending))
            {
                _whenSent = action;
                return;
            }
        }
        action();
    }

    /// <summary>Drops unsent bytes, and sends nothing more.</summary>
    public void Dispose() => TryClose();

    private void SendAll()
    {
        while (TryBegin(out var buffer))
        {
            var sending = _connection.SendAsync(buffer.Bytes.AsMemory(0, buffer.Count)); // usually the system takes all at once
            if (!sending.IsCompletedSuccessfully)
            {
                HoldUp();
                BackgroundTask.Run(FinishAsync(sending, buffer), _logger, "sending to a peer");
                return;
            }
            sending.GetAwaiter().GetResult();
            End(buffer);
        }
    }

    private bool TryBegin(out Buffer buffer)
    {
        TaskCompletionSource? drained;
        Action? whenSent;
        long held;
        lock (_gate)
        {
            if (_full is not { Count: > 0 } full || !full.TryDequeue(out buffer))
            {
                (buffer, _last) = (_last, new([], 0, 0));
            }
            _isSending = buffer.Count > 0;
            if (_isSending)
            {
                _sentLast = buffer.Count;
                return true;
            }
            (drained, _drained) = (_drained, null);
            (whenSent, _whenSent) = (_whenSent, null);
            (_full, _isHeldUp) = (null, false);
            (held, _held) = (_held, 0);
        }
        GiveBack(held);
        whenSent?.Invoke();
        drained?.SetResult();
        return false;
    }

    // From here on what waits is counted, until all has been sent.
    private void HoldUp()
    {
        long held;
        lock (_gate)
        {
            if (_isClosed || _isHeldUp)
            {
                return;
            }
            _isHeldUp = true;
            held = _held = _unsent;
        }
        _share?.Change(held);
    }

    private void End(in Buffer sent)
    {
        ArrayPool<byte>.Shared.Return(sent.Bytes);
        long held;
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }
            _unsent -= sent.Count;
            _unsentMessages -= sent.Messages;
            held = _isHeldUp ? sent.Count : 0;
            _held -= held;
        }
        GiveBack(held);
    }

    private async Task FinishAsync(ValueTask sending, Buffer buffer)
    {
        try
        {
            _stall ??= _time.CreateTimer(
                static queue => ((SendQueue)queue!).Break(null), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _stall.Change(_sendTimeout, Timeout.InfiniteTimeSpan);
            await sending;
            _stall.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            End(buffer);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException) // the last one: TLS
        {
            Break(e);
        }
        SendAll();
    }

    private void Break(Exception? reason)
    {
        if (TryClose())
        {
            _broken(reason);
        }
    }

    private bool TryClose()
    {
        TaskCompletionSource? drained;
        long held;
        lock (_gate)
        {
            if (_isClosed)
            {
                return false;
            }
            _isClosed = true;
            foreach (var buffer in _full ?? [])
            {
                ArrayPool<byte>.Shared.Return(buffer.Bytes);
            }
            ReturnLastNeedsLock();
            (_full, _last) = (null, new([], 0, 0));
            (_unsent, _unsentMessages) = (0, 0);
            (drained, _drained) = (_drained, null);
            (held, _held) = (_held, 0);
        }
        _stall?.Dispose();
        GiveBack(held);
        drained?.SetResult();
        return true;
    }

    private void GiveBack(long held)
    {
        if (held > 0)
        {
            _share?.Change(-held);
        }
    }

    private void CopyNeedsLock(ReadOnlySpan<byte> part, int expected = 0)
    {
        while (true)
        {
            MakeRoomNeedsLock(Math.Max(part.Length, expected));
            var count = Math.Min(part.Length, _last.Bytes.Length - _last.Count);
            part[..count].CopyTo(_last.Bytes.AsSpan(_last.Count));
            _last.Count += count;
            if (count == part.Length)
            {
                return;
            }
            part = part[count..];
            (_full ??= []).Enqueue(_last);
            _last = new([], 0, 0);
        }
    }

    private void MakeRoomNeedsLock(int length)
    {
        var needed = _last.Count + length;
        if (needed <= _last.Bytes.Length || _last.Bytes.Length >= LargeBuffer)
        {
            return;
        }
        var usual = Math.Clamp(_sentLast, SmallBuffer, LargeBuffer);
        var larger = ArrayPool<byte>.Shared.Rent(Math.Min(Math.Max(needed, Math.Max(usual, 2 * _last.Bytes.Length)), LargeBuffer));
        _last.Bytes.AsSpan(0, _last.Count).CopyTo(larger);
        ReturnLastNeedsLock();
        _last.Bytes = larger;
    }

    private void ReturnLastNeedsLock()
    {
        if (_last.Bytes.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_last.Bytes);
        }
    }

    /// <summary>Bytes that wait.</summary>
    /// <param name="Bytes">The buffer.</param>
    /// <param name="Count">How many bytes of it are used.</param>
    /// <param name="Messages">How many messages end in it.</param>
    private record struct Buffer(byte[] Bytes, int Count, int Messages);
}
