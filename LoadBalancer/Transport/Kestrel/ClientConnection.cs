using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// A client's connection as Kestrel sees it. It joins its loop with the first wait, so that the first request is handled there too.
/// When its socket is parked it ends for Kestrel, but not for the client.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class ClientConnection : DefaultConnectionContext, IDuplexPipe, IMemoryPoolFeature
{
    private static long _lastId;

    private readonly ClientSocket _socket;
    private readonly RequestBoundary _boundary = new();
    private readonly CancellationTokenSource _closed = new();
    private int _isClosed;
    private long _sentWhenEnded = -1; // -1 until then
    private volatile bool _isParked;

    // What the last sweep saw.
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

    // Only a hint while another thread uses the connection.
    private bool IsIdle => Reader.IsAtBoundary && !Writer.IsSending && Writer.UnflushedBytes == 0;

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        if (!_isParked) // The socket may belong to another connection by now.
        {
            _socket.Abort(abortReason);
        }
        OnClosed();
    }

    /// <summary>The client has ended its half, or the connection is broken.</summary>
    public void OnHangUp(bool isBroken)
    {
        if (isBroken || !_boundary.IsTunnel)
        {
            OnClosed();
        }
    }

    /// <summary>Fires <see cref="DefaultConnectionContext.ConnectionClosed"/> on another thread: its handlers may run for long.</summary>
    public void OnClosed()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection._closed.Cancel(), this, preferLocal: false);
        }
    }

    /// <summary>Since when the client has taken none of the waiting bytes; null if none wait. For the sweep.</summary>
    public long? StalledSince(long now)
    {
        if (!Writer.IsSending)
        {
            _received = -1;
            return null;
        }
        // The kernel counts every acknowledged byte; an event comes only when there is much room again.
        var received = Writer.Sent - _socket.UnacknowledgedBytes;
        if (received != _received)
        {
            (_received, _movedAt) = (received, now);
        }
        return _movedAt;
    }

    /// <summary>
    /// Since when it has been between two requests, as far as the transport can see; null if it is not. For the sweep.
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

    /// <summary>Ends it for Kestrel, so that its socket can be parked. The caller has cancelled Kestrel's wait before.</summary>
    /// <returns>False if it may not be idle.</returns>
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
        // Checked again here: Kestrel sends nothing at the end of an idle connection.
        if (_sentWhenEnded == Writer.Sent && _socket.AbortReason is null)
        {
            _isParked = true;
            _socket.Park(_quietSince, RemoteEndPoint);
        }
        else if (_socket.AbortReason is null && Reader.MayReceiveMore)
        {
            _socket.FinishInStages();
        }
        else
        {
            _socket.Finish();
        }
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            await _closed.CancelAsync(); // Kestrel is done with it: there are no handlers, for which another thread would be needed.
        }
        await base.DisposeAsync();
    }
}
