using System.Net;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// One HTTP/2 connection to a backend (RFC 9113), which carries many requests at the same time. Any thread may send;
/// <see cref="Http2Receiver"/> receives, and calls the methods of the other part of this class.
/// </summary>
internal sealed partial class Http2Connection : IDisposable
{
    // How much the backend may send on all streams together before it hears from us, in bytes. It is announced again as it arrives, not as
    // it is read, so that a client that does not read holds up no other.
    private const int ReceiveWindow = 16 * 1024 * 1024;

    private const int DefaultWindow = 65_535;

    private static readonly TimeSpan SendTimeout = TimeSpan.FromSeconds(30);

    private readonly IReusableConnection _connection;
    private readonly Http2Connections _owner;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly FrameSender _sender;
    private readonly TaskCompletionSource _hasSettings = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly StreamTable _streams; // with the lock, like all that follows
    private readonly Http2Liveness _liveness;
    private long _sendWindow = DefaultWindow;
    private int _received; // of the receive window, since it was announced
    private bool _isDraining;
    private bool _isClosed;
    private bool _hasEndedStreams;

    /// <summary>
    /// Takes over an open connection. The preface comes first, even where a stream is started before <see cref="Begin"/>.
    /// </summary>
    public Http2Connection(IReusableConnection connection, Http2Connections owner, TimeProvider time, ILogger logger)
    {
        (_connection, _owner, _time, _logger) = (connection, owner, time, logger);
        OpenedAt = time.GetTimestamp();
        _streams = new StreamTable(owner.MaxStreams);
        _liveness = new Http2Liveness(time);
        Home = IoThread.IsEventLoop ? IoThread.Number : -1;
        _sender = new FrameSender(connection, SendTimeout, OnBroken, time, logger);
        AddPreface();
    }

    /// <summary>Guards the connection and its streams. Inside it only the lock of a <see cref="SendQueue"/> is taken.</summary>
    public Lock Gate { get; } = new();

    /// <summary>The event loop that it is on; -1 where it is on none.</summary>
    public int Home { get; }

    /// <summary>See <see cref="IReusableConnection.Peer"/>.</summary>
    public IPAddress? Peer => _connection.Peer;

    /// <summary>When it was opened; a timestamp of the clock.</summary>
    public long OpenedAt { get; }

    /// <summary>How many streams it has; without the lock only roughly.</summary>
    public int Streams => _streams.Count;

    /// <summary>Whether a stream has ended on it.</summary>
    public bool HasServed { get; private set; }

    /// <summary>Completed when the backend's first SETTINGS have come, or the connection has ended.</summary>
    public Task HasSettings => _hasSettings.Task;

    /// <summary>See <see cref="Http2Connections.MaxHeadSize"/>.</summary>
    public long MaxHeadSize => _owner.MaxHeadSize;

    /// <summary>Whether the backend accepts WebSockets (RFC 8441 section 3).</summary>
    public bool TakesExtendedConnect { get; private set; }

    /// <summary>Whether no more streams will be started on it.</summary>
    public bool IsEnding
    {
        get
        {
            lock (Gate)
            {
                return _isDraining || _isClosed;
            }
        }
    }

    /// <summary>Sends what has gathered, and begins to receive.</summary>
    public void Begin(Http2Receiver receiver)
    {
        Flush();
        BackgroundTask.Run(receiver.RunAsync(this, _connection), _logger, "receiving from a backend over HTTP/2");
    }

    /// <summary>Starts a stream with the head of its request, which is sent with the next <see cref="Flush"/>.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="block">The field section.</param>
    /// <param name="isEnd">Whether no body follows.</param>
    /// <returns>False where the connection can take no more streams now.</returns>
    public bool TryStart(Http2Stream stream, ReadOnlySpan<byte> block, bool isEnd)
    {
        lock (Gate)
        {
            if (FreeStreamsNeedsLock() == 0)
            {
                return false;
            }
            _liveness.NoteStart(isOnly: _streams.Count == 0);
            _streams.Start(this, stream, isEnd);
            // RFC 7541 section 4.2: that the encoder's table has size 0 is said once.
            _sender.AddFields(stream.Id, stream.Id == 1 ? [0x20] : [], block, isEnd);
            _isDraining |= _streams.IsUsedUp;
        }
        if (stream.AbortCause != AbortCause.None)
        {
            Reset(stream, Http2Error.Cancel); // It was aborted before it knew this connection.
        }
        return true;
    }

    /// <summary>Sends as much of a body as there is room for.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="data">The data; afterwards what could not be sent.</param>
    /// <param name="isLast">Whether nothing follows.</param>
    /// <returns>Whether all was sent.</returns>
    /// <exception cref="IOException">The stream has ended.</exception>
    public bool TrySend(Http2Stream stream, ref ReadOnlyMemory<byte> data, bool isLast)
    {
        lock (Gate)
        {
            int count;
            do
            {
                if (stream.IsReset)
                {
                    throw new IOException("the backend wants no more of the request");
                }
                count = (int)Math.Min(Math.Min(data.Length, _sender.MaxFrameSize), Math.Min(stream.SendWindow, _sendWindow));
                if (!data.IsEmpty && count <= 0 || _sender.IsFull)
                {
                    return false;
                }
                count = Math.Max(count, 0); // An empty frame needs no room.
                var isEnd = isLast && count == data.Length;
                _sender.AddFrame(FrameType.Data, isEnd ? FrameFlags.EndStream : FrameFlags.None, stream.Id, data.Span[..count]);
                stream.CountSentNeedsLock(count, isEnd);
                _sendWindow -= count;
                data = data[count..];
            }
            while (!data.IsEmpty);
            EndIfDoneNeedsLock(stream);
        }
        if (isLast || _sender.IsWorthFlushing)
        {
            Flush();
        }
        AfterEnd();
        return true;
    }

    /// <summary>Whether a stream may send some of its body. Needs the lock.</summary>
    public bool HasRoomNeedsLock(Http2Stream stream) => stream.SendWindow > 0 && _sendWindow > 0;

    /// <summary>Waits while too much is buffered.</summary>
    public Task WhenNotFullAsync() => _sender.WhenNotFullAsync();

    /// <summary>Sends the fields that follow a body, and the end of the stream.</summary>
    public void SendTrailers(Http2Stream stream, ReadOnlySpan<byte> block)
    {
        lock (Gate)
        {
            if (!stream.IsReset)
            {
                _sender.AddFields(stream.Id, [], block, isEnd: true);
                stream.CountSentNeedsLock(0, isEnd: true);
                EndIfDoneNeedsLock(stream);
            }
        }
        Flush();
        AfterEnd();
    }

    /// <summary>Announces to the backend how much of a stream's body was read.</summary>
    public void Announce(Http2Stream stream)
    {
        lock (Gate)
        {
            AnnounceNeedsLock(stream);
        }
        Flush();
    }

    /// <summary>Ends a stream early. Its waits end on another thread, because the caller may have other work to do.</summary>
    public void Reset(Http2Stream stream, Http2Error code)
    {
        var wake = new List<Readiness>();
        lock (Gate)
        {
            ResetNeedsLock(stream, code, new IOException("the request was aborted"), wake);
        }
        Flush();
        WakeElsewhere(wake);
        AfterEnd();
    }

    /// <summary>Sends what has gathered.</summary>
    public void Flush() => _sender.Flush(isAlone: _streams.Count <= 1);

    /// <summary>Starts no more streams, and closes the connection once there is none.</summary>
    public void Drain()
    {
        lock (Gate)
        {
            _isDraining = _hasEndedStreams = true;
        }
        AfterEnd();
    }

    /// <summary>
    /// Aborts streams that are past their deadline, notices that the backend is silent, and closes the connection if it was idle too long.
    /// </summary>
    public void Sweep()
    {
        var now = _time.GetTimestamp();
        List<Http2Stream> late;
        bool isDead, isSilent, isIdle;
        lock (Gate)
        {
            late = [.. _streams.All.Where(stream => stream.IsPastDeadline(now))];
            isDead = _liveness.IsDead(now);
            isSilent = _streams.Count > 0 && _liveness.IsSilent(now);
            isIdle = _streams.Count == 0 && _liveness.IsIdle(now);
        }
        foreach (var stream in late)
        {
            stream.Abort(AbortCause.TimedOut);
        }
        if (isDead)
        {
            var reason = $"the connection is dead: no answer to a PING within {Http2Liveness.PingTimeout.TotalSeconds} s";
            Close(new IOException(reason), null, isSuspect: true);
        }
        else if (isSilent || late.Exists(stream => stream.Head is null))
        {
            Ping();
        }
        else if (isIdle)
        {
            Drain();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Close(new IOException("the connection was closed"), Http2Error.NoError, isSuspect: false);

    /// <summary>Closes the connection; the streams that it still has fail.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="code">What is sent in GOAWAY; null where the backend cannot be reached any longer.</param>
    /// <param name="isSuspect">Whether the backend should be probed.</param>
    public void Close(Exception reason, Http2Error? code, bool isSuspect)
    {
        var wake = new List<Readiness>();
        lock (Gate)
        {
            if (_isClosed)
            {
                return;
            }
            _isClosed = true;
            _streams.RemoveAbove(0).ForEach(stream => stream.FailNeedsLock(reason, wake));
            if (code is { } known)
            {
                _sender.AddGoAway(known);
            }
        }
        _hasSettings.TrySetResult();
        BackgroundTask.Run(CloseAsync(isDead: code is null), _logger, "closing a connection over HTTP/2");
        _owner.Remove(this, isSuspect);
        WakeElsewhere(wake);
    }

    /// <summary>Must be called without the lock after streams may have ended: others can start, or the connection is closed.</summary>
    public void AfterEnd()
    {
        if (!Volatile.Read(ref _hasEndedStreams))
        {
            return; // Nearly always, and after each piece of a body: no lock for that.
        }
        bool isDone;
        lock (Gate)
        {
            if (!_hasEndedStreams)
            {
                return;
            }
            _hasEndedStreams = false;
            _liveness.NoteEnd();
            isDone = _isDraining && _streams.Count == 0;
        }
        if (isDone)
        {
            Dispose();
        }
        else
        {
            _owner.NoteRoom();
        }
    }

    // While it is not known whether the backend is there, requests go to other connections.
    private int FreeStreamsNeedsLock() => _isDraining || _isClosed || _liveness.IsAsked ? 0 : _streams.Free;

    private bool RemoveNeedsLock(Http2Stream stream)
    {
        var isRemoved = _streams.Remove(stream);
        _hasEndedStreams |= isRemoved;
        return isRemoved;
    }

    private void AddPreface()
    {
        ReadOnlySpan<byte> settings = // identifiers and values: no push, the window of a stream, the largest field section
        [
            0, 2, 0, 0, 0, 0,
            0, 4, 0, Http2Stream.InitialWindow >> 16, 0, 0,
            0, 6, 0, FieldSection.MaxSize >> 16, 0, 0,
        ];
        _sender.Add(Http2Preface.Bytes);
        _sender.AddFrame(FrameType.Settings, FrameFlags.None, 0, settings);
        _sender.AddFrame(FrameType.WindowUpdate, 0, ReceiveWindow - DefaultWindow);
    }

    private void Ping()
    {
        lock (Gate)
        {
            if (!_isClosed && !_liveness.IsAsked)
            {
                _liveness.NotePing();
                _sender.AddFrame(FrameType.Ping, FrameFlags.None, 0, "liveness"u8);
            }
        }
        Flush();
    }

    private void WakeWritersNeedsLock(List<Readiness> wake)
    {
        foreach (var stream in _streams.All)
        {
            if (HasRoomNeedsLock(stream))
            {
                stream.WakeWriterNeedsLock(wake);
            }
        }
    }

    private static void WakeElsewhere(List<Readiness> wake)
    {
        foreach (var wait in wake)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static wait => wait.Set(), wait, preferLocal: false);
        }
    }

    private void OnBroken(Exception? reason) =>
        Close(reason ?? new IOException($"it took nothing for {SendTimeout.TotalSeconds} s"), null, isSuspect: true);

    private async Task CloseAsync(bool isDead)
    {
        if (!isDead)
        {
            await _sender.FlushAndDrainAsync();
            await _connection.EndSendingAsync();
        }
        _sender.Dispose();
        _connection.Dispose();
    }
}
