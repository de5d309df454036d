using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// A wire on a socket of the framework. While it lies idle a read is already under way, which the next response will complete; that
/// costs no system call more than reading after the request would.
/// </summary>
internal sealed class SocketWire : IRestingWire
{
    private readonly Socket _socket;
    private Action? _closed;
    private ReadAhead? _readAhead;
    private bool _readingAhead;

    /// <summary>Takes over a socket that is connected.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="closed">Called once it is disposed of.</param>
    public SocketWire(Socket socket, Action? closed = null) => (_socket, _closed) = (socket, closed);

    /// <summary>Opens a socket of the framework.</summary>
    /// <exception cref="SocketException">Nobody listens there, or nobody was found.</exception>
    public static async Task<Socket> ConnectAsync(EndpointAddress address, CancellationToken cancellationToken)
    {
        var isAddress = IPAddress.TryParse(address.Host, out var ip);
        var socket = isAddress ? new Socket(ip!.AddressFamily, SocketType.Stream, ProtocolType.Tcp) : new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.NoDelay = true;
            await (isAddress
                ? socket.ConnectAsync(new IPEndPoint(ip!, address.Port), cancellationToken)
                : socket.ConnectAsync(address.Host, address.Port, cancellationToken));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

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
    public ValueTask EndSendingAsync()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _socket.Close(0); // with time 0 to linger: a reset
        Dispose();
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
        Interlocked.Exchange(ref _closed, null)?.Invoke();
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
