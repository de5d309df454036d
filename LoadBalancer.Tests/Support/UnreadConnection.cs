using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Support;

/// <summary>A connection to a peer that sends some bytes, then nothing more, and reads only when <see cref="Read"/> says so.</summary>
/// <param name="sent">What the peer sends.</param>
internal sealed class UnreadConnection(byte[] sent) : ISocketConnection
{
    private readonly TaskCompletionSource<int> _closed = new();
    private readonly Queue<(byte[] Data, TaskCompletionSource Taken)> _sends = [];

    /// <summary>How many bytes of the peer were received.</summary>
    public int Received { get; private set; }

    /// <summary>Whether it was disposed of.</summary>
    public bool IsClosed => _closed.Task.IsCompleted;

    public bool IsBroken => false;

    public int UnsentBytes => 0;

    public int UnacknowledgedBytes => 0;

    /// <summary>The peer reads the data of one send.</summary>
    public byte[] Read()
    {
        (byte[] Data, TaskCompletionSource Taken) send;
        lock (_sends)
        {
            send = _sends.Dequeue();
        }
        send.Taken.SetResult();
        return send.Data;
    }

    public ValueTask SendAsync(ReadOnlyMemory<byte> data)
    {
        var taken = new TaskCompletionSource();
        lock (_sends)
        {
            _sends.Enqueue((data.ToArray(), taken));
        }
        return new(taken.Task);
    }

    public ValueTask<int> ReceiveAsync(Memory<byte> memory)
    {
        if (Received == sent.Length || IsClosed)
        {
            return new(_closed.Task);
        }
        var count = Math.Min(memory.Length, sent.Length - Received);
        sent.AsSpan(Received, count).CopyTo(memory.Span);
        Received += count;
        return new(count);
    }

    public ValueTask EndSendingAsync() => ValueTask.CompletedTask;

    public void Reset() => Dispose();

    public bool TryPark(Memory<byte> memory, Action closed) => false;

    public bool TryResume() => false;

    public void Watch()
    {
    }

    public void KeepAlive()
    {
    }

    public void Dispose()
    {
        if (_closed.TrySetException(new ObjectDisposedException("the connection")))
        {
            lock (_sends)
            {
                foreach (var (_, taken) in _sends)
                {
                    taken.TrySetException(new ObjectDisposedException("the connection"));
                }
            }
        }
    }
}
