using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Threading.Tasks.Sources;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// A wire on a socket of a loop: of the one whose thread opened it, unless told otherwise. A request, its client's socket and its
/// backend's then stay on one thread.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollWire : EpollSocket, IRestingWire, IValueTaskSource<int>
{
    private readonly Readiness _room = new();
    private readonly Action? _closedFile;
    private Memory<byte> _memory;
    private volatile bool _isBroken;
    private Action? _closed; // to be called if anything comes; null where it is awaited
    private ManualResetValueTaskSourceCore<int> _received; // continues inline

    /// <summary>Takes over the file of a connection.</summary>
    /// <param name="file">The file.</param>
    /// <param name="loop">The loop that it is to belong to.</param>
    /// <param name="closed">Called once its file is closed.</param>
    public EpollWire(int file, EventLoop loop, Action? closed = null)
        : base(file, loop) => _closedFile = closed;

    /// <summary>Whether the other side has reset the connection, or is gone; known from <see cref="Watch"/> on, or since anything was waited for.</summary>
    public bool IsBroken => _isBroken;

    /// <summary>Has the system ask a silent peer whether it is still there: after 30 s, then each 10 s, and the third silence is the end.</summary>
    public unsafe void KeepAlive()
    {
        foreach (var (level, name, wanted) in new[] { (Libc.SolSocket, Libc.SoKeepAlive, 1), (Libc.Tcp, Libc.TcpKeepIdle, 30), (Libc.Tcp, Libc.TcpKeepInterval, 10), (Libc.Tcp, Libc.TcpKeepCount, 3) })
        {
            var value = wanted;
            _ = Libc.SetOption(this, level, name, &value, sizeof(int)); // It has just been accepted; where it is broken, that is noticed elsewhere.
        }
    }

    /// <summary>Connects.</summary>
    /// <exception cref="SocketException">Nobody listens there, or nobody was found.</exception>
    public static Task<EpollWire> OpenAsync(EndpointAddress address, CancellationToken cancellationToken) =>
        OpenAsync(address, EventLoop.Current ?? EventLoop.Next(), cancellationToken);

    /// <summary>Connects on this loop.</summary>
    /// <exception cref="SocketException">Nobody listens there, or nobody was found.</exception>
    public static async Task<EpollWire> OpenAsync(EndpointAddress address, EventLoop loop, CancellationToken cancellationToken)
    {
        var hosts = IPAddress.TryParse(address.Host, out var ip) ? [ip] : await Dns.GetHostAddressesAsync(address.Host, cancellationToken);
        var failure = new SocketException((int)SocketError.HostNotFound);
        foreach (var host in hosts)
        {
            var wire = Create(host.AddressFamily, loop);
            try
            {
                await wire.ConnectAsync(new IPEndPoint(host, address.Port).Serialize(), cancellationToken);
                return wire;
            }
            catch (SocketException e)
            {
                wire.Dispose();
                failure = e;
            }
            catch
            {
                wire.Dispose();
                throw;
            }
        }
        throw failure;
    }

    /// <summary>Notices from now on when the connection breaks, though nobody waits for anything.</summary>
    public void Watch()
    {
        try
        {
            Join();
        }
        catch (SocketException)
        {
            Dispose(); // The system watches no more sockets: whoever waited for this one would wait for ever.
        }
        catch (ObjectDisposedException)
        {
            // It was closed meanwhile.
        }
    }

    /// <summary>Takes a connection over from the framework, which does not let go of its own file.</summary>
    /// <exception cref="SocketException">No further file can be opened.</exception>
    public static EpollWire TakeOver(Socket socket, EventLoop loop)
    {
        using (socket)
        {
            var file = Libc.Control(socket.SafeHandle, Libc.Duplicate, 0);
            return file >= 0 ? new EpollWire(file, loop) : throw Libc.LastError();
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
        var isTurnOver = IsTurnOver;
        try
        {
            if (!isTurnOver && TryReceive(memory) is not Nothing and var count)
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
        if (isTurnOver)
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
    public bool TryRest(Memory<byte> memory, Action closed)
    {
        (_memory, _closed) = (memory, closed);
        return TryAwaitSilence();
    }

    /// <inheritdoc/>
    public bool TryWake()
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

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
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
        else if (!IsDisposed && !TryAwaitSilence() && !IsDisposed)
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
        // Whoever waits goes on elsewhere: the one who disposes may be in the middle of something.
        if (disposing && TryClaimReadable() && _closed is null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static wire => wire.OnReadable(), this, preferLocal: false);
        }
        if (disposing && TryClaimWritable())
        {
            ThreadPool.UnsafeQueueUserWorkItem(static wire => wire.OnWritable(), this, preferLocal: false);
        }
    }

    private static unsafe EpollWire Create(AddressFamily family, EventLoop loop)
    {
        const int Stream = 1;
        const int Inet = 2;
        const int Inet6 = 10;
        var file = Libc.Socket(family == AddressFamily.InterNetworkV6 ? Inet6 : Inet, Stream | Libc.NonBlocking | Libc.CloseOnExec, Libc.Tcp);
        var wire = file >= 0 ? new EpollWire(file, loop) : throw Libc.LastError();
        if (file >= FileReserve.BackendsEnd)
        {
            wire.Dispose();
            throw Libc.Error(Libc.TooManyFiles);
        }
        var yes = 1;
        _ = Libc.SetOption(wire, Libc.Tcp, Libc.TcpNoDelay, &yes, sizeof(int));
        return wire;
    }

    private async Task ConnectAsync(SocketAddress address, CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.UnsafeRegister(static state => ((EpollWire)state!).Interrupt(), this);
        if (!TryConnect(address))
        {
            await _room.WaitAsync(TryAwaitWritable);
            cancellationToken.ThrowIfCancellationRequested();
            ThrowIfFailed();
        }
    }

    private unsafe bool TryConnect(SocketAddress address)
    {
        HoldWrites();
        fixed (byte* name = address.Buffer.Span)
        {
            return Libc.Connect(this, name, address.Size) == 0 || (Marshal.GetLastPInvokeError() == Libc.InProgress ? false : throw Libc.LastError());
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

    // With no memory it is only asked whether there is something.
    private int TryReceive(Memory<byte> memory) => !memory.IsEmpty ? Receive(memory.Span) : IsReadable ? 0 : Nothing;

    private bool TryComplete()
    {
        int count;
        try
        {
            count = TryReceive(_memory);
            if (count == Nothing)
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

    /// <returns>False where there was something, if only the end.</returns>
    private bool TryAwaitSilence()
    {
        try
        {
            while (!TryAwaitReadable())
            {
                if (Receive(_memory.Span) != Nothing)
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
