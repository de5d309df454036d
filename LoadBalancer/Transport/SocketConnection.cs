using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace LoadBalancer.Transport;

/// <summary>
/// A connection on a socket of the framework. While it is parked a read is pending, which the next response completes; that costs
/// no more system calls than a read after the request.
/// </summary>
internal sealed class SocketConnection : ISocketConnection
{
    // The framework completes a receive synchronously while bytes are available. A peer that always has more would keep its thread for
    // ever, so after this many bytes the reader goes to the end of the thread pool's queue.
    private const int ReadBudget = 256 * 1024;
    private const int LeastSpent = 4 * 1024;

    private readonly Socket _socket;
    private Action? _closed;
    private ReadAhead? _readAhead;
    private bool _isReadingAhead;
    private int _budget = ReadBudget; // used by the one reader
    private int _sending; // bytes of the pending send

    /// <summary>Takes over a connected socket.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="closed">Called once, when the connection is disposed.</param>
    public SocketConnection(Socket socket, Action? closed = null) => (_socket, _closed) = (socket, closed);

    /// <inheritdoc/>
    public IPAddress? Peer { get; init; }

    /// <inheritdoc/>
    public bool IsBroken
    {
        get
        {
            try
            {
                return OperatingSystem.IsWindows() ? IsReceiveFailing() : Libc.HasError(_socket.SafeHandle);
            }
            catch (ObjectDisposedException)
            {
                return false;
            }
        }
    }

    /// <inheritdoc/>
    public int UnsentBytes => Volatile.Read(ref _sending) + Query(Libc.NotYetSent);

    /// <inheritdoc/>
    public int UnacknowledgedBytes => Volatile.Read(ref _sending) + Query(Libc.QueuedToSend);

    /// <inheritdoc/>
    public void Watch()
    {
        // Nothing to do: IsBroken asks the system.
    }

    /// <inheritdoc/>
    public void KeepAlive()
    {
        try
        {
            _socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            _socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
            _socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 10);
            _socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Broken or closed; the next receive reports that.
        }
    }

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data)
    {
        ValueTask<int> sending;
        Volatile.Write(ref _sending, data.Length);
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
        if (sent < data.Length)
        {
            return SendRestAsync(new(sent), data);
        }
        Volatile.Write(ref _sending, 0);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory)
    {
        if (_isReadingAhead)
        {
            _isReadingAhead = false;
            return _readAhead!.ResultAsync();
        }
        ValueTask<int> receiving;
        try
        {
            receiving = _socket.ReceiveAsync(memory);
        }
        catch (ObjectDisposedException e)
        {
            return ValueTask.FromException<int>(e);
        }
        if (!receiving.IsCompletedSuccessfully)
        {
            _budget = ReadBudget;
            return receiving;
        }
        var count = receiving.Result;
        _budget -= Math.Max(count, LeastSpent);
        if (_budget > 0)
        {
            return new(count);
        }
        _budget = ReadBudget;
        return YieldAsync(count);
    }

    /// <inheritdoc/>
    public ValueTask EndSendingAsync()
    {
        EndSending();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public void Reset()
    {
        _socket.Close(0); // with time 0 to linger: a reset
        Dispose();
    }

    /// <inheritdoc/>
    public bool TryPark(Memory<byte> memory, Action closed)
    {
        _readAhead ??= new ReadAhead(_socket, closed);
        _isReadingAhead = _readAhead.TryBegin(memory);
        return _isReadingAhead;
    }

    /// <inheritdoc/>
    public bool TryResume() => _readAhead!.TryClaim();

    /// <inheritdoc/>
    public void Dispose()
    {
        _readAhead?.TryClaim(); // The pending read ends with the socket; the backend has not closed it.
        EndSending(); // Otherwise the framework would reset a connection with a pending call.
        _socket.Dispose();
        Interlocked.Exchange(ref _closed, null)?.Invoke();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private static async ValueTask<int> YieldAsync(int count)
    {
        await Task.Yield();
        return count;
    }

    private async ValueTask SendRestAsync(ValueTask<int> sending, ReadOnlyMemory<byte> data)
    {
        data = data[await sending..];
        while (!data.IsEmpty)
        {
            Volatile.Write(ref _sending, data.Length);
            data = data[await _socket.SendAsync(data)..];
        }
        Volatile.Write(ref _sending, 0);
    }

    private void EndSending()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }
    }

    // Windows has no poll(2); a reset there discards what was not read, so that the next receive fails at once.
    private bool IsReceiveFailing()
    {
        try
        {
            return _socket.Poll(0, SelectMode.SelectRead) && _socket.Receive(stackalloc byte[1], SocketFlags.Peek) < 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }

    private int Query(nuint what)
    {
        if (!OperatingSystem.IsLinux())
        {
            return 0;
        }
        try
        {
            return Libc.Query(_socket.SafeHandle, what);
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }
    }
}
