using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace LoadBalancer.Transport;

/// <summary>
/// The pending read of a parked connection. It ends in one of two ways: a request claims it, and its result is the
/// beginning of the response; or it completes unclaimed, and the backend has closed the connection. One exchange of
/// <see cref="_state"/> decides which came first. Made once for a connection and used each time it is parked.
/// </summary>
internal sealed class ReadAhead(Socket socket, Action closed) : SocketAsyncEventArgs(true), IValueTaskSource<int>
{
    private const int Parked = 0;
    private const int Claimed = 1;
    private const int Closed = 2;

    private ManualResetValueTaskSourceCore<int> _result; // continues inline, on the thread that received
    private int _state = Closed;

    /// <summary>Begins to read into the memory.</summary>
    /// <returns>False if there is something to read already, also the end: the connection cannot be used again.</returns>
    public bool TryBegin(Memory<byte> memory)
    {
        _result.Reset();
        Volatile.Write(ref _state, Parked);
        SetBuffer(memory);
        try
        {
            if (socket.ReceiveAsync(this))
            {
                return true;
            }
        }
        catch (ObjectDisposedException)
        {
            // We have closed it.
        }
        Volatile.Write(ref _state, Closed);
        return false;
    }

    /// <summary>Claims the read for a request; from now on its result must be awaited.</summary>
    /// <returns>False if the backend has closed the connection before.</returns>
    public bool TryClaim() => Interlocked.CompareExchange(ref _state, Claimed, Parked) == Parked;

    /// <summary>How many bytes were received, once the read was claimed.</summary>
    public ValueTask<int> ResultAsync() => new(this, _result.Version);

    /// <inheritdoc/>
    public int GetResult(short token) => _result.GetResult(token);

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _result.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _result.OnCompleted(continuation, state, token, flags);

    /// <inheritdoc/>
    protected override void OnCompleted(SocketAsyncEventArgs e)
    {
        if (Interlocked.CompareExchange(ref _state, Closed, Parked) == Parked)
        {
            closed();
        }
        else if (SocketError == SocketError.Success)
        {
            _result.SetResult(BytesTransferred);
        }
        else
        {
            _result.SetException(new SocketException((int)SocketError));
        }
    }
}
