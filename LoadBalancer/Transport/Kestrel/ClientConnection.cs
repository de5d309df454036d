using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// A client's connection as Kestrel sees it. It joins its loop with the first wait, so that the first request is dealt with there too.
/// Where its socket is parked it ends for Kestrel, but not for the client.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class ClientConnection : DefaultConnectionContext, IDuplexPipe, IMemoryPoolFeature
{
    private static long _lastId;

    private readonly ClientSocket _socket;
    private readonly RequestBoundary _boundary = new();
    private readonly CancellationTokenSource _closed = new();
    private int _isClosed;
    private long _sentWhenEnded = -1; // not before it was
    private volatile bool _isParked;

    // What the sweep saw the last time.
    private long _received = -1;
    private long _movedAt;
    private int _requests = -1;
    private long _quietSince;

    public ClientConnection(ClientSocket socket)
        : base(Interlocked.Increment(ref _lastId).ToString("X12", CultureInfo.InvariantCulture))
    {
        _socket = socket;
        (Reader, Writer) = (new SocketReader(_socket, _boundary), new SocketWriter(_socket));
        (Transport, LocalEndPoint, RemoteEndPoint, ConnectionClosed) = (this, socket.Local, socket.Remote, _closed.Token);
        Features.Set<IMemoryPoolFeature>(this);
        Features.Set(_boundary);
    }

    /// <summary>What the client sends.</summary>
    public SocketReader Reader { get; }

    /// <summary>What is sent to it.</summary>
    public SocketWriter Writer { get; }

    PipeReader IDuplexPipe.Input => Reader;

    PipeWriter IDuplexPipe.Output => Writer;

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => MemoryPool<byte>.Shared;

    // Only a hint while anybody else may be at work on the connection.
    private bool IsIdle => Reader.IsAtBoundary && !Writer.IsSending && Writer.UnflushedBytes == 0;

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        if (!_isParked) // The socket may be another's by now.
        {
            _socket.Abort(abortReason);
        }
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

    /// <summary>Since when the client has not taken any of what waits for it; null where nothing waits. For the sweep.</summary>
    public long? StalledSince(long now)
    {
        if (!Writer.IsSending)
        {
            _received = -1;
            return null;
        }
        // The kernel knows of every byte that the client's side has acknowledged; we know only when there is much room again.
        var received = Writer.Sent - _socket.UnacknowledgedBytes;
        if (received != _received)
        {
            (_received, _movedAt) = (received, now);
        }
        return _movedAt;
    }

    /// <summary>
    /// Since when it has been between two requests, as far as can be seen from outside; null where it is not. For the sweep.
    /// </summary>
    public long? QuietSince(long now)
    {
        if (!IsIdle)
        {
            _requests = -1;
            return null;
        }
        if (_boundary.Requests is var requests && requests != _requests)
        {
            (_requests, _quietSince) = (requests, now);
        }
        return _quietSince;
    }

    /// <summary>Ends it for Kestrel, so that its socket can be parked; for whoever has taken Kestrel's wait back.</summary>
    /// <returns>False where it is not certain that it is idle.</returns>
    public bool TryEnd()
    {
        if (!IsIdle || _socket.AbortReason is not null)
        {
            return false;
        }
        _sentWhenEnded = Writer.Sent;
        Reader.End();
        return true;
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        Reader.Complete();
        Writer.Complete();
        await Writer.WhenSentAsync();
        // A second look: at the end of an idle connection Kestrel has nothing to say.
        if (_sentWhenEnded == Writer.Sent && _socket.AbortReason is null)
        {
            _isParked = true;
            _socket.Park(_quietSince);
        }
        else
        {
            _socket.Finish();
        }
        OnClosed();
        await base.DisposeAsync();
    }
}
