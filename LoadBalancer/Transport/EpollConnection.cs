using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// A connection on a socket of an event loop. Callers continue on the socket's event loop, so a request and its two sockets stay
/// on one thread.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollConnection : EpollSocket, ISocketConnection, IValueTaskSource<int>
{
    private readonly Readiness _room = new();
    private readonly Action? _closedFile;
    private Memory<byte> _memory;
    private volatile bool _isBroken;
    private Action? _closed; // called if anything arrives while it is parked
    private ManualResetValueTaskSourceCore<int> _received; // continues inline

    /// <summary>Takes over the file of a connection.</summary>
    /// <param name="file">The file.</param>
    /// <param name="loop">The loop that it is to belong to.</param>
    /// <param name="closed">Called once its file is closed.</param>
    public EpollConnection(int file, EventLoop loop, Action? closed = null)
        : base(file, loop) => _closedFile = closed;

    /// <inheritdoc/>
    public IPAddress? Peer { get; private set; }

    /// <inheritdoc/>
    public bool IsBroken => _isBroken;

    /// <inheritdoc/>
    public void KeepAlive()
    {
        SetOption(Libc.SolSocket, Libc.SoKeepAlive, 1);
        SetOption(Libc.Tcp, Libc.TcpKeepIdle, 30);
        SetOption(Libc.Tcp, Libc.TcpKeepInterval, 10);
        SetOption(Libc.Tcp, Libc.TcpKeepCount, 3);
    }

    /// <summary>Connects to one address.</summary>
    /// <exception cref="SocketException">
    /// The connection was refused, or no file or port is left; WouldBlock where the queue of a Unix socket is full.
    /// </exception>
    public static async Task<EpollConnection> OpenAsync(EndPoint address, EventLoop loop, CancellationToken cancellationToken)
    {
        var connection = Create(address.AddressFamily, loop);
        connection.Peer = (address as IPEndPoint)?.Address;
        try
        {
            await connection.ConnectAsync(address.Serialize(), cancellationToken);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Watch()
    {
        try
        {
            Join();
        }
        catch (SocketException)
        {
            Dispose(); // The system cannot watch more sockets; a wait for this one would never end.
        }
        catch (ObjectDisposedException)
        {
            // It was closed meanwhile.
        }
    }

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data)
    {
        try
        {
            var sent = Send(data.Span);
            return sent == data.Length ? ValueTask.CompletedTask : SendRestAsync(data[sent..]);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory)
    {
        var hasUsedItsReadBudget = HasUsedItsReadBudget;
        try
        {
            if (!hasUsedItsReadBudget && TryReceive(memory) is not WouldBlock and var count)
            {
                return new(count);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return ValueTask.FromException<int>(e);
        }
        _memory = memory;
        _received.Reset();
        var version = _received.Version; // From the wait on, another thread may complete it.
        if (hasUsedItsReadBudget)
        {
            Yield();
        }
        else
        {
            Await();
        }
        return new(this, version);
    }

    /// <inheritdoc/>
    public ValueTask EndSendingAsync()
    {
        EndSending();
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public bool TryPark(Memory<byte> memory, Action closed)
    {
        (_memory, _closed) = (memory, closed);
        return TryAwaitNothing();
    }

    /// <inheritdoc/>
    public bool TryResume()
    {
        if (!TryUnawaitReadable())
        {
            return false;
        }
        _closed = null;
        return true;
    }

    int IValueTaskSource<int>.GetResult(short token) => _received.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _received.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _received.OnCompleted(continuation, state, token, flags);

    /// <inheritdoc/>
    protected override void OnReadable()
    {
        if (_closed is not { } closed)
        {
            if (!TryComplete())
            {
                Await();
            }
        }
        else if (!IsDisposed && !TryAwaitNothing() && !IsDisposed)
        {
            closed();
        }
    }

    /// <inheritdoc/>
    protected override void OnWritable() => _room.Set();

    /// <inheritdoc/>
    protected override void OnHangUp(bool isBroken) => _isBroken |= isBroken;

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        var isClosed = base.ReleaseHandle();
        _closedFile?.Invoke();
        return isClosed;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        // Waiting calls continue on another thread, because the caller may have other work to do.
        if (disposing && TryClaimReadable() && _closed is null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection.OnReadable(), this, preferLocal: false);
        }
        if (disposing && TryClaimWritable())
        {
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection.OnWritable(), this, preferLocal: false);
        }
    }

    private static EpollConnection Create(AddressFamily family, EventLoop loop)
    {
        const int Stream = 1;
        const int Inet = 2;
        const int Inet6 = 10;
        var isUnix = family == AddressFamily.Unix;
        var number = isUnix ? Libc.Unix : family == AddressFamily.InterNetworkV6 ? Inet6 : Inet;
        var file = Libc.Socket(number, Stream | Libc.NonBlocking | Libc.CloseOnExec, isUnix ? 0 : Libc.Tcp);
        var connection = file >= 0 ? new EpollConnection(file, loop) : throw Libc.LastError();
        if (file >= FileReserve.BackendsEnd)
        {
            connection.Dispose();
            throw Libc.Error(Libc.TooManyFiles);
        }
        if (!isUnix)
        {
            connection.SetOption(Libc.Tcp, Libc.TcpNoDelay, 1);
        }
        return connection;
    }

    private unsafe void SetOption(int level, int name, int value) =>
        _ = Libc.SetOption(this, level, name, &value, sizeof(int)); // Fails on a broken connection; the next send or receive reports that.

    private async Task ConnectAsync(SocketAddress address, CancellationToken cancellationToken)
    {
        if (!TryConnect(address))
        {
            // Registered only now: an earlier cancellation would find no wait to end, and the wait would never end.
            using var registration = cancellationToken.UnsafeRegister(static state => ((EpollConnection)state!).Interrupt(), this);
            await _room.WaitAsync(TryAwaitWritable);
            cancellationToken.ThrowIfCancellationRequested();
            ThrowIfFailed();
        }
        cancellationToken.ThrowIfCancellationRequested();
    }

    private unsafe bool TryConnect(SocketAddress address)
    {
        MarkNotWritable();
        fixed (byte* name = address.Buffer.Span)
        {
            return Libc.Connect(this, name, address.Size) == 0
                || Marshal.GetLastPInvokeError() switch
                {
                    Libc.InProgress => false,
                    Libc.NoSuchFile => throw new NoSuchSocketException(),
                    var error => throw Libc.Error(error),
                };
        }
    }

    private unsafe void ThrowIfFailed()
    {
        int error;
        var length = sizeof(int);
        if (Libc.GetOption(this, Libc.SolSocket, Libc.SoError, &error, &length) < 0)
        {
            throw Libc.LastError();
        }
        if (error != 0)
        {
            throw Libc.Error(error);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> data)
    {
        while (!data.IsEmpty)
        {
            await _room.WaitAsync(TryAwaitWritable);
            data = data[Send(data.Span)..];
        }
    }

    private void Interrupt()
    {
        if (TryClaimWritable())
        {
            OnWritable();
        }
    }

    private void Await()
    {
        while (!TryAwaitReadable() && !TryComplete())
        {
        }
    }

    // Without memory it only checks whether there is something to read.
    private int TryReceive(Memory<byte> memory) => !memory.IsEmpty ? Receive(memory.Span) : IsReadable ? 0 : WouldBlock;

    private bool TryComplete()
    {
        int count;
        try
        {
            count = TryReceive(_memory);
            if (count == WouldBlock)
            {
                return false;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _received.SetException(e);
            return true;
        }
        _received.SetResult(count);
        return true;
    }

    /// <summary>Watches a parked connection, on which nothing should arrive.</summary>
    /// <returns>False if there was something to read, also the end.</returns>
    private bool TryAwaitNothing()
    {
        try
        {
            while (!TryAwaitReadable())
            {
                if (Receive(_memory.Span) != WouldBlock)
                {
                    return false;
                }
            }
            return true;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }
}
