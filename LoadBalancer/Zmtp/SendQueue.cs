using System.Buffers;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>
/// What waits to be sent to a peer, any number of messages end to end in one buffer, so that one call sends them. Anybody may add;
/// whoever adds while nothing is under way sends, or leaves it to his <see cref="SendBurst"/>.
/// </summary>
/// <param name="wire">Where to.</param>
/// <param name="limits">How much waits.</param>
/// <param name="time">The clock.</param>
/// <param name="broken">Called when sending fails.</param>
/// <param name="logger">Gets what fails unexpectedly.</param>
internal sealed class SendQueue(IConnection wire, ZmtpLimits limits, TimeProvider time, Action broken, ILogger logger)
{
    private const int SmallBuffer = 512;
    private const int Piece = 64 * 1024; // Whether a peer reads is seen with each.

    private readonly Lock _gate = new();
    private byte[] _waiting = [];
    private int _waitingBytes;
    private int _waitingMessages;
    private int _sendingBytes;
    private int _sendingMessages;
    private bool _isSending;
    private bool _isDue; // Somebody will flush it.
    private bool _isClosed;
    private long _movedAt;

    /// <summary>What became of something to be sent.</summary>
    public enum Outcome
    {
        /// <summary>It will be sent.</summary>
        Taken,

        /// <summary>There is no room.</summary>
        Full,

        /// <summary>The peer is gone.</summary>
        Closed,
    }

    /// <summary>Adds a message.</summary>
    /// <param name="head">What comes before it.</param>
    /// <param name="rest">The rest of it.</param>
    public Outcome Add(ReadOnlySpan<byte> head, ReadOnlySpan<byte> rest) => Add(head, rest, 1);

    /// <summary>Adds a command, or what is as important: only the high-water mark in bytes counts for it.</summary>
    public Outcome AddCommand(ReadOnlySpan<byte> command) => Add(command, [], 0);

    /// <summary>Sends what waits, unless that is under way.</summary>
    public void Flush()
    {
        if (TryTake(isFlush: true, out var buffer, out var count))
        {
            BackgroundTask.Run(SendAsync(buffer, count), logger, "sending to a ZeroMQ peer");
        }
    }

    /// <summary>Since when the peer has not taken anything of what is being sent to it; null where nothing is.</summary>
    public long? StalledSince()
    {
        lock (_gate)
        {
            return _isSending ? _movedAt : null;
        }
    }

    /// <summary>Nothing more will be sent.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            Return(ref _waiting);
            (_waitingBytes, _waitingMessages) = (0, 0);
        }
    }

    private Outcome Add(ReadOnlySpan<byte> head, ReadOnlySpan<byte> rest, int messages)
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return Outcome.Closed;
            }
            var length = head.Length + rest.Length;
            var unsent = (long)_waitingBytes + _sendingBytes;
            // One message alone is let through however long it is: it was not the peer's doing.
            if ((messages > 0 && _waitingMessages + _sendingMessages >= limits.QueueMessages) || (unsent > 0 && unsent + length > limits.QueueBytes))
            {
                return Outcome.Full;
            }
            MakeRoom(length);
            head.CopyTo(_waiting.AsSpan(_waitingBytes));
            rest.CopyTo(_waiting.AsSpan(_waitingBytes + head.Length));
            _waitingBytes += length;
            _waitingMessages += messages;
            if (_isSending || _isDue)
            {
                return Outcome.Taken;
            }
            _isDue = true;
        }
        SendBurst.Flush(this);
        return Outcome.Taken;
    }

    private async Task SendAsync(byte[] buffer, int count)
    {
        try
        {
            do
            {
                for (var sent = 0; sent < count; sent += Piece)
                {
                    await wire.SendAsync(buffer.AsMemory(sent, Math.Min(Piece, count - sent)));
                    Volatile.Write(ref _movedAt, time.GetTimestamp());
                }
                Return(ref buffer);
            }
            while (TryTake(isFlush: false, out buffer, out count));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            broken();
        }
    }

    private bool TryTake(bool isFlush, out byte[] buffer, out int count)
    {
        lock (_gate)
        {
            if (isFlush)
            {
                _isDue = false;
            }
            (buffer, count) = (_waiting, _waitingBytes);
            if (isFlush && _isSending)
            {
                return false;
            }
            (_sendingBytes, _sendingMessages) = (_waitingBytes, _waitingMessages);
            (_waiting, _waitingBytes, _waitingMessages) = ([], 0, 0);
            _isSending = count > 0;
            if (_isSending && isFlush)
            {
                _movedAt = time.GetTimestamp();
            }
            return _isSending;
        }
    }

    private void MakeRoom(int length)
    {
        var needed = _waitingBytes + length;
        if (needed <= _waiting.Length)
        {
            return;
        }
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(needed, Math.Max(SmallBuffer, 2 * _waiting.Length)));
        _waiting.AsSpan(0, _waitingBytes).CopyTo(larger);
        Return(ref _waiting);
        _waiting = larger;
    }

    private static void Return(ref byte[] buffer)
    {
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        buffer = [];
    }
}
