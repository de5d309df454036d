using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// A client on a socket of the framework: wraps Kestrel's own connection. It measures how long a flush to the client waits, and
/// resets the connection if that takes too long.
/// </summary>
internal sealed class SocketClient : ConnectionContext, IDuplexPipe
{
    private readonly ConnectionContext _inner;
    private readonly Socket _socket;
    private readonly Action<SocketClient> _closed;
    private readonly FlushWatch _output;
    private readonly TimeProvider _time;
    private readonly CancellationToken _stopping;
    private volatile bool _isAborted;

    // What the last sweep saw.
    private long _flushingSince = FlushWatch.NotFlushing;
    private ulong _acknowledged;
    private long _movedAt;

    /// <summary>Wraps a connection.</summary>
    /// <param name="inner">The connection.</param>
    /// <param name="socket">Its socket.</param>
    /// <param name="time">The clock.</param>
    /// <param name="closed">Called once Kestrel has disposed of it.</param>
    /// <param name="stopping">Cancelled when the listener stops.</param>
    public SocketClient(
        ConnectionContext inner, Socket socket, TimeProvider time, Action<SocketClient> closed, CancellationToken stopping)
    {
        (_inner, _socket, _time, _closed, _stopping, Input) = (inner, socket, time, closed, stopping, inner.Transport.Input);
        _output = new FlushWatch(inner.Transport.Output, time);
        inner.Transport = this;
    }

    /// <inheritdoc/>
    public override string ConnectionId
    {
        get => _inner.ConnectionId;
        set => _inner.ConnectionId = value;
    }

    /// <inheritdoc/>
    public override IFeatureCollection Features => _inner.Features;

    /// <inheritdoc/>
    public override IDictionary<object, object?> Items
    {
        get => _inner.Items;
        set => _inner.Items = value;
    }

    /// <inheritdoc/>
    public override IDuplexPipe Transport
    {
        get => _inner.Transport;
        set => _inner.Transport = value;
    }

    /// <inheritdoc/>
    public override EndPoint? LocalEndPoint
    {
        get => _inner.LocalEndPoint;
        set => _inner.LocalEndPoint = value;
    }

    /// <inheritdoc/>
    public override EndPoint? RemoteEndPoint
    {
        get => _inner.RemoteEndPoint;
        set => _inner.RemoteEndPoint = value;
    }

    /// <inheritdoc/>
    public override CancellationToken ConnectionClosed
    {
        get => _inner.ConnectionClosed;
        set => _inner.ConnectionClosed = value;
    }

    /// <inheritdoc/>
    public PipeReader Input { get; }

    /// <inheritdoc/>
    public PipeWriter Output => _output;

    /// <summary>Called by the sweep: resets the connection if a flush has waited too long and the client has taken no bytes.</summary>
    public void Inspect(TimeProvider time, long now, TimeSpan sendTimeout)
    {
        var since = _output.FlushingSince;
        if (since == FlushWatch.NotFlushing)
        {
            return;
        }
        var acknowledged = Acknowledged();
        if (since != _flushingSince)
        {
            (_flushingSince, _movedAt, _acknowledged) = (since, since, acknowledged);
        }
        else if (acknowledged != _acknowledged)
        {
            (_movedAt, _acknowledged) = (now, acknowledged);
        }
        if (time.GetElapsedTime(_movedAt, now) >= sendTimeout)
        {
            Abort(new ConnectionAbortedException("the client does not take what is sent to it"));
        }
    }

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        _isAborted = true;
        _inner.Abort(abortReason);
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        try
        {
            if (!_isAborted && !ConnectionClosed.IsCancellationRequested && _output.FlushingSince == FlushWatch.NotFlushing)
            {
                await LingerAsync();
            }
            await _inner.DisposeAsync();
        }
        finally
        {
            _closed(this);
            await base.DisposeAsync();
        }
    }

    // Closes in stages, as on event loops (ClientSocket.FinishInStages). Here it is not known whether the client may still be sending.
    private async Task LingerAsync()
    {
        var unwanted = ArrayPool<byte>.Shared.Rent(16 * 1024);
        using var deadline = new CancellationTokenSource(KestrelTransportOptions.MostLingering, _time);
        using var last = new CancellationTokenSource(); // By the system's clock: that of a test may stand still.
        await using var stopping = _stopping.Register(
            static last => ((CancellationTokenSource)last!).CancelAfter(KestrelTransportOptions.LastLingering), last);
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
            int count;
            do
            {
                using var silence = new CancellationTokenSource(KestrelTransportOptions.MostSilence, _time);
                using var end = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, deadline.Token, last.Token);
                count = await _socket.ReceiveAsync(unwanted, end.Token);
            }
            while (count > 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // It is broken, or it has taken too long.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(unwanted);
        }
    }

    // Linux counts what the client's side has acknowledged. Elsewhere a client that takes some bytes, but not all of
    // one flush within the time-out, is reset too.
    private ulong Acknowledged()
    {
        const int TcpInfo = 11;
        const int BytesAcked = 120; // tcpi_bytes_acked in struct tcp_info, since Linux 4.1
        if (!OperatingSystem.IsLinux() || _socket.AddressFamily == AddressFamily.Unix)
        {
            return 0;
        }
        Span<byte> info = stackalloc byte[BytesAcked + sizeof(ulong)];
        try
        {
            return _socket.GetRawSocketOption((int)ProtocolType.Tcp, TcpInfo, info) == info.Length
                ? BinaryPrimitives.ReadUInt64LittleEndian(info[BytesAcked..])
                : 0;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return 0;
        }
    }

    /// <summary>
    /// The output to the client. After a cancelled flush bytes may be left, which count as waiting until a later flush is over.
    /// </summary>
    private sealed class FlushWatch(PipeWriter inner, TimeProvider time) : PipeWriter
    {
        public const long NotFlushing = -1;

        private long _flushingSince = NotFlushing;

        /// <summary>Since when a flush waits; a timestamp of the clock.</summary>
        public long FlushingSince => Volatile.Read(ref _flushingSince);

        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            var flushing = inner.FlushAsync(cancellationToken);
            if (flushing.IsCompletedSuccessfully)
            {
                return new(Note(flushing.Result));
            }
            Interlocked.CompareExchange(ref _flushingSince, time.GetTimestamp(), NotFlushing);
            return WaitAsync(flushing);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        private async ValueTask<FlushResult> WaitAsync(ValueTask<FlushResult> flushing) => Note(await flushing);

        private FlushResult Note(FlushResult result)
        {
            if (!result.IsCanceled)
            {
                Volatile.Write(ref _flushingSince, NotFlushing);
            }
            return result;
        }
    }
}
