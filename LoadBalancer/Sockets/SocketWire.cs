using System.Net.Sockets;

namespace LoadBalancer.Sockets;

/// <summary>
/// A wire on a socket of the framework. While it lies idle a read is already under way, which the next response will complete; that
/// costs no system call more than reading after the request would.
/// </summary>
internal sealed class SocketWire : IWire
{
    private readonly Socket _socket;
    private ReadAhead? _readAhead;
    private bool _readingAhead;

    public SocketWire(Socket socket) => _socket = socket;

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data)
    {
        ValueTask<int> sending;
        try
        {
            sending = _socket.SendAsync(data);
        }
        catch (ObjectDisposedException e)
        {
            return ValueTask.FromException(e);
        }
        if (!sending.IsCompletedSuccessfully)
        {
            return SendRestAsync(sending, data);
        }
        var sent = sending.Result;
        return sent == data.Length ? ValueTask.CompletedTask : SendRestAsync(new(sent), data);
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory)
    {
        if (_readingAhead)
        {
            _readingAhead = false;
            return _readAhead!.ResultAsync();
        }
        return _socket.ReceiveAsync(memory);
    }

    /// <inheritdoc/>
    public bool TryRest(Memory<byte> memory, Action closed)
    {
        _readAhead ??= new ReadAhead(_socket, closed);
        _readingAhead = _readAhead.TryBegin(memory);
        return _readingAhead;
    }

    /// <inheritdoc/>
    public bool TryWake() => _readAhead!.TryClaim();

    /// <inheritdoc/>
    public void Dispose()
    {
        _readAhead?.TryClaim(); // The read that is under way ends with the socket, and that is not the backend's doing.
        _socket.Dispose();
    }

    private async ValueTask SendRestAsync(ValueTask<int> sending, ReadOnlyMemory<byte> data)
    {
        data = data[await sending..];
        while (!data.IsEmpty)
        {
            data = data[await _socket.SendAsync(data)..];
        }
    }
}
