using System.Buffers;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>How much may wait in a <see cref="SendQueue"/>.</summary>
/// <param name="Bytes">In bytes; an empty queue accepts any length.</param>
/// <param name="Messages">In messages; commands do not count.</param>
internal readonly record struct SendLimits(long Bytes, int Messages)
{
    /// <summary>No limit: the caller of Add watches <see cref="SendQueue.Waiting"/>.</summary>
    public static readonly SendLimits None = new(long.MaxValue, int.MaxValue);
}

/// <summary>
/// The bytes to be sent to one peer. They gather in one buffer until the owner flushes it, and while earlier bytes are being sent, so that
/// one call sends many messages. Any threads may add at the same time; one at a time sends. Bytes that cannot be sent are dropped.
/// Not used for Kestrel's responses (<see cref="Kestrel.SocketWriter"/>): Kestrel writes into memory that it asks for, so nothing is
/// copied, and waits until all has been sent.
/// </summary>
internal sealed class SendQueue : IDisposable
{
    private const int SmallBuffer = 512;
    private const int Portion = 64 * 1024; // the most that one call sends; each completed call shows that the peer reads

    private readonly IConnection _connection;
    private readonly SendLimits _limits;
    private readonly TimeSpan _sendTimeout;
    private readonly Action<SendQueue> _due;
    private readonly Action<Exception?> _broken;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new(); // innermost lock: nothing is called or locked inside
    private byte[] _waiting = [];
    private int _waitingBytes;
    private int _waitingMessages;
    private int _sendingBytes;
    private int _sendingMessages;
    private int _sentLast; // the size of the last send, a guess for the next buffer
    private bool _isSending;
    private bool _isDue; // Flush will be called
    private bool _isClosed;
    private TaskCompletionSource? _drained;
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
    public SendQueue(
        IConnection connection, SendLimits limits, TimeSpan sendTimeout, Action<SendQueue> due, Action<Exception?> broken,
        TimeProvider time, ILogger logger)
    {
        (_connection, _limits, _sendTimeout, _due) = (connection, limits, sendTimeout, due);
        (_broken, _time, _logger) = (broken, time, logger);
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

    /// <summary>How many bytes wait for the present send to finish.</summary>
    public int Waiting => Volatile.Read(ref _waitingBytes);

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
        lock (_gate)
        {
            if (_isClosed)
            {
                return Outcome.Closed;
            }
            var length = first.Length + second.Length + third.Length + fourth.Length + fifth.Length;
            var unsent = (long)_waitingBytes + _sendingBytes;
            if (messages > 0 && _waitingMessages + _sendingMessages >= _limits.Messages || unsent > 0 && unsent + length > _limits.Bytes)
            {
                return Outcome.Full;
            }
            MakeRoomNeedsLock(length);
            CopyNeedsLock(first);
            CopyNeedsLock(second);
            CopyNeedsLock(third);
            CopyNeedsLock(fourth);
            CopyNeedsLock(fifth);
            _waitingMessages += messages;
            if (_isSending || _isDue)
            {
                return Outcome.Taken; // The running send will take it.
            }
            _isDue = true;
        }
        _due(this);
        return Outcome.Taken;
    }

    /// <summary>Sends the waiting bytes, after the present send if one is running.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            _isDue = false;
            if (_isSending || _waitingBytes == 0)
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
            return _isClosed || _waitingBytes == 0 && !_isSending ? Task.CompletedTask
                : (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Drops unsent bytes, and sends nothing more.</summary>
    public void Dispose() => TryClose();

    private void SendAll()
    {
        while (TryBegin(out var bytes, out var count))
        {
            var sending = SendAsync(bytes, count);
            if (!sending.IsCompletedSuccessfully)
            {
                BackgroundTask.Run(FinishAsync(sending), _logger, "sending to a peer");
                return;
            }
        }
    }

    private bool TryBegin(out byte[] bytes, out int count)
    {
        TaskCompletionSource? drained;
        lock (_gate)
        {
            (bytes, count) = (_waiting, _waitingBytes);
            (_sendingBytes, _sendingMessages) = (_waitingBytes, _waitingMessages);
            (_waiting, _waitingBytes, _waitingMessages) = ([], 0, 0);
            _isSending = count > 0;
            if (_isSending)
            {
                _sentLast = count;
                return true;
            }
            (drained, _drained) = (_drained, null);
        }
        drained?.SetResult();
        return false;
    }

    // Usually the system takes all bytes at once, and nothing is allocated.
    private Task SendAsync(byte[] bytes, int count)
    {
        for (var sent = 0; sent < count; sent += Portion)
        {
            var sending = _connection.SendAsync(bytes.AsMemory(sent, Math.Min(Portion, count - sent)));
            if (!sending.IsCompletedSuccessfully)
            {
                return SendRestAsync(sending, bytes, sent + Portion, count);
            }
            sending.GetAwaiter().GetResult();
        }
        ArrayPool<byte>.Shared.Return(bytes);
        return Task.CompletedTask;
    }

    private async Task SendRestAsync(ValueTask sending, byte[] bytes, int sent, int count)
    {
        _stall ??= _time.CreateTimer(
            static queue => ((SendQueue)queue!).Break(null), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        for (; ; sent += Portion)
        {
            _stall.Change(_sendTimeout, Timeout.InfiniteTimeSpan);
            await sending;
            _stall.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            if (sent >= count)
            {
                ArrayPool<byte>.Shared.Return(bytes);
                return;
            }
            sending = _connection.SendAsync(bytes.AsMemory(sent, Math.Min(Portion, count - sent)));
        }
    }

    private async Task FinishAsync(Task sending)
    {
        try
        {
            await sending;
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
        lock (_gate)
        {
            if (_isClosed)
            {
                return false;
            }
            _isClosed = true;
            ReturnNeedsLock();
            (_waitingBytes, _waitingMessages) = (0, 0);
            (drained, _drained) = (_drained, null);
        }
        _stall?.Dispose();
        drained?.SetResult();
        return true;
    }

    private void CopyNeedsLock(ReadOnlySpan<byte> part)
    {
        part.CopyTo(_waiting.AsSpan(_waitingBytes));
        _waitingBytes += part.Length;
    }

    private void MakeRoomNeedsLock(int length)
    {
        var needed = _waitingBytes + length;
        if (needed <= _waiting.Length)
        {
            return;
        }
        var usual = Math.Clamp(_sentLast, SmallBuffer, Portion);
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(needed, Math.Max(usual, 2 * _waiting.Length)));
        _waiting.AsSpan(0, _waitingBytes).CopyTo(larger);
        ReturnNeedsLock();
        _waiting = larger;
    }

    private void ReturnNeedsLock()
    {
        if (_waiting.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_waiting);
        }
        _waiting = [];
    }
}
