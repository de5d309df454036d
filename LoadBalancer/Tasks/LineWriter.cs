using System.Buffers;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// Lines on their way to one peer. They gather until whoever writes is done with all that it has at the moment (<see cref="Outbox"/>),
/// and while others are being sent, and go out together. Safe for several threads at once; what cannot be sent is forgotten.
/// </summary>
internal sealed class LineWriter : IDisposable
{
    /// <summary>From so many waiting bytes on, nothing more should be read of who causes them.</summary>
    public const int Congestion = 4 * 1024 * 1024;

    private const int UsualSize = 4 * 1024;
    private const int Portion = 64 * 1024; // sent at once: that some of it moves is seen by one having gone

    private readonly IConnection _wire;
    private readonly Action<string> _broken;
    private readonly TimeSpan _patience;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private byte[] _bytes = [];
    private int _count;
    private bool _isSending;
    private bool _isInOutbox;
    private bool _isBroken;
    private TaskCompletionSource? _drained;
    private ITimer? _stall;

    /// <summary>Makes a writer to a wire.</summary>
    /// <param name="wire">The wire; nobody else sends on it.</param>
    /// <param name="patience">How long the peer may take no byte.</param>
    /// <param name="broken">Called once, with the reason, when nothing can be sent any more; on any thread.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what fails unexpectedly.</param>
    public LineWriter(IConnection wire, TimeSpan patience, Action<string> broken, TimeProvider time, ILogger logger) =>
        (_wire, _patience, _broken, _time, _logger) = (wire, patience, broken, time, logger);

    /// <summary>How many bytes wait until what is being sent has gone.</summary>
    public int Waiting => Volatile.Read(ref _count);

    /// <summary>Adds a line made of these parts; its end is part of the last one.</summary>
    public void Append(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default, ReadOnlySpan<byte> third = default, ReadOnlySpan<byte> fourth = default, ReadOnlySpan<byte> fifth = default)
    {
        lock (_gate)
        {
            if (_isBroken)
            {
                return;
            }
            var length = first.Length + second.Length + third.Length + fourth.Length + fifth.Length;
            if (_bytes.Length - _count < length)
            {
                Grow(_count + length);
            }
            Copy(first);
            Copy(second);
            Copy(third);
            Copy(fourth);
            Copy(fifth);
            if (_isSending || _isInOutbox)
            {
                return; // It will go with what is on its way already.
            }
            _isInOutbox = true;
        }
        Outbox.Add(this);
    }

    /// <summary>Sends what has gathered, unless something is being sent: then it goes after that.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            _isInOutbox = false;
            if (_isSending || _count == 0)
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
            return _isBroken || _count == 0 && !_isSending ? Task.CompletedTask
                : (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Forgets what has not been sent; nothing more is.</summary>
    public void Dispose() => Break(null);

    private void SendAll()
    {
        while (TryBegin() is var (bytes, count) && bytes.Length > 0)
        {
            var sending = SendAsync(bytes, 0, count);
            if (!sending.IsCompletedSuccessfully)
            {
                BackgroundTask.Run(FinishAsync(sending), _logger, "sending lines");
                return;
            }
        }
    }

    private (byte[] Bytes, int Count) TryBegin()
    {
        TaskCompletionSource? drained = null;
        try
        {
            lock (_gate)
            {
                if (_count > 0 && !_isBroken)
                {
                    var begun = (_bytes, _count);
                    (_bytes, _count) = ([], 0);
                    return begun;
                }
                _isSending = false;
                (drained, _drained) = (_drained, null);
            }
            return ([], 0);
        }
        finally
        {
            drained?.SetResult();
        }
    }

    private Task SendAsync(byte[] bytes, int from, int count)
    {
        for (; from < count; from += Portion)
        {
            var sending = _wire.SendAsync(bytes.AsMemory(from, Math.Min(Portion, count - from)));
            if (!sending.IsCompletedSuccessfully)
            {
                return SendRestAsync(sending, bytes, from + Portion, count);
            }
            sending.GetAwaiter().GetResult();
        }
        ArrayPool<byte>.Shared.Return(bytes);
        return Task.CompletedTask;
    }

    private async Task SendRestAsync(ValueTask sending, byte[] bytes, int from, int count)
    {
        _stall ??= _time.CreateTimer(static writer => ((LineWriter)writer!).Break("it takes nothing"), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        for (; ; from += Portion)
        {
            _stall.Change(_patience, Timeout.InfiniteTimeSpan);
            await sending;
            _stall.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            if (from >= count)
            {
                ArrayPool<byte>.Shared.Return(bytes);
                return;
            }
            sending = _wire.SendAsync(bytes.AsMemory(from, Math.Min(Portion, count - from)));
        }
    }

    private async Task FinishAsync(Task sending)
    {
        try
        {
            await sending;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Break(e.Message);
        }
        SendAll();
    }

    private void Break(string? reason)
    {
        byte[] bytes;
        TaskCompletionSource? drained;
        lock (_gate)
        {
            if (_isBroken)
            {
                return;
            }
            _isBroken = true;
            (bytes, _bytes, _count) = (_bytes, [], 0);
            (drained, _drained) = (_drained, null);
        }
        if (bytes.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
        _stall?.Dispose();
        drained?.SetResult();
        if (reason is not null)
        {
            _broken(reason);
        }
    }

    private void Copy(ReadOnlySpan<byte> part)
    {
        part.CopyTo(_bytes.AsSpan(_count));
        _count += part.Length;
    }

    private void Grow(int least)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(least, Math.Max(UsualSize, _bytes.Length * 2)));
        if (_bytes.Length > 0)
        {
            _bytes.AsSpan(0, _count).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_bytes);
        }
        _bytes = larger;
    }
}
