using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace LoadBalancer.Http.Epoll;

/// <summary>
/// A client's connection as Kestrel sees it. It joins its loop with the first wait, so that the first request is dealt with there too.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class ClientConnection : DefaultConnectionContext, IDuplexPipe, IMemoryPoolFeature
{
    private static long _lastId;

    private readonly ClientSocket _socket;
    private readonly CancellationTokenSource _closed = new();
    private int _isClosed;

    public ClientConnection(int file, EventLoop loop, EndPoint? local, EndPoint? remote)
        : base(Interlocked.Increment(ref _lastId).ToString("X12", CultureInfo.InvariantCulture))
    {
        _socket = new ClientSocket(file, loop, this);
        (Reader, Writer) = (new SocketReader(_socket), new SocketWriter(_socket));
        (Transport, LocalEndPoint, RemoteEndPoint, ConnectionClosed) = (this, local, remote, _closed.Token);
        Features.Set<IMemoryPoolFeature>(this);
    }

    /// <summary>What the client sends.</summary>
    public SocketReader Reader { get; }

    /// <summary>What is sent to it.</summary>
    public SocketWriter Writer { get; }

    PipeReader IDuplexPipe.Input => Reader;

    PipeWriter IDuplexPipe.Output => Writer;

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => MemoryPool<byte>.Shared;

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        _socket.Abort(abortReason);
        OnClosed();
    }

    /// <summary>Fires <see cref="DefaultConnectionContext.ConnectionClosed"/>, but not here and now: who listens might do much.</summary>
    public void OnClosed()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection._closed.Cancel(), this, preferLocal: false);
        }
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        Reader.Complete();
        Writer.Complete();
        await Writer.WhenSentAsync();
        _socket.Shutdown();
        _socket.Dispose();
        OnClosed();
        await base.DisposeAsync();
    }
}

/// <summary>The socket of a <see cref="ClientConnection"/>: passes events on to who waits for them.</summary>
[SupportedOSPlatform("linux")]
internal sealed class ClientSocket(int file, EventLoop loop, ClientConnection connection) : EpollSocket(file, loop)
{
    private ConnectionAbortedException? _abortReason;

    /// <summary>Why it was aborted, if it was.</summary>
    public ConnectionAbortedException? AbortReason => Volatile.Read(ref _abortReason);

    /// <summary>Resets the connection; the first reason given stands.</summary>
    public void Abort(ConnectionAbortedException reason)
    {
        Interlocked.CompareExchange(ref _abortReason, reason, null);
        Reset();
    }

    /// <inheritdoc/>
    protected override void OnReadable() => connection.Reader.OnReadable();

    /// <inheritdoc/>
    protected override void OnWritable() => connection.Writer.OnWritable();

    /// <inheritdoc/>
    protected override void OnHangUp() => connection.OnClosed();
}
