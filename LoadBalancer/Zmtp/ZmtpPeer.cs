using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>A connection to a peer: the handshake, then messages in both directions.</summary>
#pragma warning disable CA1001 // Its queue is disposed of when its connection is closed.
public sealed class ZmtpPeer
#pragma warning restore CA1001
{
    // After its last message a peer has this long to read it and to close its side.
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(2);

    private readonly ZmtpSocket _socket;
    private readonly IConnection _connection;
    private readonly MessageReader _reader;
    private readonly SendQueue _queue;
    private readonly BufferShare _share;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? _handshake;
    private int _isClosed;
    private int _isEnding;
    private volatile bool _isBroken; // Closed because a send failed; the reader may still find the real reason.
    private int _reads; // used by the sweep, like the next three fields
    private int _readsSeen;
    private long _readsSeenAt;
    private bool _isAsked;
    private volatile bool _mustRead; // nothing is read from it until it has read
    private long _own; // at most so many of the unsent bytes were caused by the peer alone
    private int _excess; // bytes of the reader that are counted in _share

    internal ZmtpPeer(ZmtpSocket socket, IConnection connection, EndPoint? remote)
    {
        (_socket, _connection, Remote) = (socket, connection, remote);
        _reader = new MessageReader(socket.Limits);
        var limits = socket.Limits;
        _share = socket.Buffers.Join(() => Close(
            ZmtpFault.BufferedBytes, $"has the most of more than {limits.BufferedBytes} bytes that wait for all peers together"));
        _queue = new SendQueue(
            connection, new SendLimits(limits.QueueBytes, limits.QueueMessages), limits.StallTimeout, SendBurst.Flush, OnSendFailed,
            socket.Time, socket.Logger, _share);
    }

    /// <summary>Its address; null if that is not known.</summary>
    public EndPoint? Remote { get; }

    /// <summary>
    /// Its identity: on a ROUTER its own, or a generated one that begins with a zero byte; on other sockets its own, which may be
    /// empty.
    /// </summary>
    public ReadOnlyMemory<byte> Identity { get; internal set; }

    /// <summary>Its type.</summary>
    public ZmtpSocketType Type { get; private set; }

    /// <summary>Why it was disconnected; null while it is connected and after an orderly end.</summary>
    public ZmtpFault? Fault { get; private set; }

    /// <summary>Data of the socket's owner.</summary>
    public object? State { get; set; }

    /// <summary>Whether the connection is over, or about to be.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed) != 0;

    /// <summary>Whether it gets nothing more: see <see cref="End"/>.</summary>
    internal bool IsEnding => Volatile.Read(ref _isEnding) != 0;

    /// <summary>Whether the handshake was finished; then a connector reconnects without a longer delay.</summary>
    internal bool IsEstablished { get; private set; }

    /// <summary>Whether it speaks ZMTP 3.1.</summary>
    internal bool SpeaksCommands { get; private set; }

    /// <summary>Completes when the connection is closed and cleaned up.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Its subscriptions.</summary>
    internal Subscriber Subscriber => field ??= new Subscriber(this);

    /// <summary>
    /// Sends a message to the peer, or queues it. If the queue is full the message is dropped, and a peer of a socket that does not publish
    /// is disconnected, because it does not read.
    /// </summary>
    /// <returns>False if it was dropped.</returns>
    /// <exception cref="ArgumentException">The message has no frames.</exception>
    public bool Send(in ZmtpMessage message) => Send(default, message);

    /// <summary>Sends it a message in an envelope; see <see cref="Send(in ZmtpMessage)"/>.</summary>
    public bool Send(in ZmtpEnvelope envelope, in ZmtpMessage message)
    {
        if (message.Count == 0)
        {
            throw new ArgumentException("a message has at least one frame", nameof(message));
        }
        switch (_queue.Add(1, envelope.Wire.Span, message.Wire.Span))
        {
            case SendQueue.Outcome.Taken:
                return true;
            case SendQueue.Outcome.Full when !_socket.Type.Publishes():
                Close(
                    ZmtpFault.NotReading,
                    $"has {_socket.Limits.QueueMessages} messages or {_socket.Limits.QueueBytes} bytes waiting and does not read");
                break;
        }
        _socket.Statistics.CountDropped();
        return false;
    }

    /// <summary>
    /// Sends it a message that it alone has caused, such as the rejection of its request; see <see cref="ZmtpLimits.OwnBytes"/>. To be
    /// called only by a handler of its messages.
    /// </summary>
    internal void SendOwn(in ZmtpEnvelope envelope, in ZmtpMessage message)
    {
        _own += envelope.Wire.Length + message.Wire.Length;
        Send(envelope, message);
    }

    /// <summary>Ends the connection. Queued messages are not sent.</summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            _queue.Dispose();
            _connection.Dispose();
        }
    }

    /// <summary>
    /// Ends the connection in order: what is queued is sent first, and the peer, which connects again somewhere else, has a moment to read
    /// it. Returns at once.
    /// </summary>
    internal void End()
    {
        if (Interlocked.Exchange(ref _isEnding, 1) == 0)
        {
            BackgroundTask.Run(EndAsync(), _socket.Logger, "ending the connection of a ZeroMQ peer");
        }
    }

    /// <summary>Its name in logs: its own identity, if that is printable, and its address.</summary>
    public override string ToString()
    {
        var identity = Encoding.Latin1.GetString(Identity.Span[..Math.Min(Identity.Length, 64)]);
        return identity.Length > 0 && identity.All(c => c is > ' ' and <= '~') ? $"'{identity}' at {Remote}" : $"{Remote}";
    }

    /// <summary>Ends the connection for a reason; the first one counts.</summary>
    internal void Close(ZmtpFault fault, string reason)
    {
        if (!IsClosed || _isBroken)
        {
            ReportFault(fault, reason);
        }
        Close();
    }

    /// <summary>Sends a subscription, or its end, in the form that the peer understands (RFC 23 and 37).</summary>
    internal void SendSubscription(ReadOnlySpan<byte> prefix, bool isCancelled)
    {
        if (SpeaksCommands)
        {
            SendCommand(isCancelled ? Command.Cancel(prefix) : Command.Subscribe(prefix));
            return;
        }
        var body = new byte[1 + prefix.Length];
        body[0] = isCancelled ? (byte)0 : (byte)1;
        prefix.CopyTo(body.AsSpan(1));
        SendCommand(ZmtpMessage.Of(body).Wire.Span);
    }

    /// <summary>Serves the connection, from the greeting to its end.</summary>
    internal async Task RunAsync()
    {
        var isAdmitted = false;
        try
        {
            await ShakeHandsAsync();
            await _socket.AdmitAsync(this);
            isAdmitted = true;
            _socket.OnAdmitted(this);
            while (true) // until what is read or the connection throws
            {
                while (!TryReadAll())
                {
                    _mustRead = true;
                    await _queue.DrainAsync();
                    _mustRead = false;
                    Volatile.Write(ref _reads, _reads + 1);
                }
                CountExcess();
                await FillAsync();
            }
        }
        catch (ZmtpException e)
        {
            Refuse(e);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or EndOfStreamException)
        {
            if (!IsEstablished)
            {
                Close(ZmtpFault.HandshakeBroken, "ended the connection before the handshake was over");
            }
            else if (_reader.IsInTheMiddle)
            {
                Close(ZmtpFault.Truncated, "ended the connection in the middle of a message");
            }
        }
        catch (Exception e)
        {
            Fault ??= ZmtpFault.Internal;
            _socket.OnFault(this, ZmtpFault.Internal, $"could not be served: {e}"); // Reported even if another fault was reported before.
        }
        finally
        {
            Close();
            _handshake?.Dispose();
            _reader.Release();
            _share.Leave();
            _socket.Remove(this, isAdmitted);
            _ended.SetResult();
        }
    }

    /// <summary>Called by the sweep, once a second: sends a PING to a silent peer, and disconnects it if it does not answer.</summary>
    internal void Inspect(long now)
    {
        var (limits, time) = (_socket.Limits, _socket.Time);
        if (Volatile.Read(ref _reads) is var reads && (_mustRead || reads != _readsSeen))
        {
            (_readsSeen, _readsSeenAt, _isAsked) = (reads, now, false);
        }
        else if (IsEstablished && SpeaksCommands && limits.HeartbeatInterval > TimeSpan.Zero
            && time.GetElapsedTime(_readsSeenAt, now) is var silent && silent >= limits.HeartbeatInterval)
        {
            if (silent >= 2 * limits.HeartbeatInterval)
            {
                Close(ZmtpFault.Silent, "does not answer");
            }
            else if (!_isAsked)
            {
                _isAsked = true;
                SendCommand(Command.Ping());
            }
        }
    }

    private async Task EndAsync()
    {
        // The end follows the last answer at once: a REQ that has read the answer, but not the end, would send its next request here.
        _queue.WhenSent(() => BackgroundTask.Run(
            _connection.EndSendingAsync().AsTask(), _socket.Logger, "ending the connection of a ZeroMQ peer"));
        try
        {
            await Ended.WaitAsync(LongestEnd, _socket.Time);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or TimeoutException)
        {
            // It has ended already, or does not end its side.
        }
        Close();
    }

    private async ValueTask ShakeHandsAsync()
    {
        _handshake = _socket.Time.CreateTimer(
            static peer => ((ZmtpPeer)peer!).Close(ZmtpFault.HandshakeTimeout, "did not finish the handshake in time"),
            this, _socket.Limits.HandshakeTimeout, Timeout.InfiniteTimeSpan);
        SendCommand(Greeting.Ours);
        Greeting greeting;
        while (!_reader.TryReadGreeting(out greeting))
        {
            await FillAsync();
        }
        SpeaksCommands = greeting.Minor >= 1;
        SendCommand(Command.Ready(_socket.Type, _socket.Identity.Span));
        ReadOnlyMemory<byte> command;
        Incoming incoming;
        while ((incoming = _reader.Read(out _, out command)) == Incoming.Nothing)
        {
            await FillAsync();
        }
        ReadReady(incoming == Incoming.Command ? command.Span : throw new ZmtpException(ZmtpFault.Command, "sent a message before READY"));
        await _handshake.DisposeAsync();
        IsEstablished = true;
    }

    private void ReadReady(ReadOnlySpan<byte> body)
    {
        var command = Command.Parse(body);
        if (command.Is("ERROR"u8))
        {
            throw new ZmtpException(ZmtpFault.RefusedByPeer, $"refuses the connection: {command.ReadError()}");
        }
        if (!command.Is("READY"u8))
        {
            throw new ZmtpException(ZmtpFault.Command, "sent another command before READY");
        }
        var (type, name, identity) = command.ReadReady();
        if (type is not { } known || !_socket.Type.MayTalkTo(known))
        {
            throw new ZmtpException(ZmtpFault.SocketType, $"is a {name}, which has no business with a {_socket.Type.Name()}");
        }
        (Type, Identity) = (known, identity);
    }

    private async ValueTask FillAsync()
    {
        if (!_reader.IsInTheMiddle)
        {
            _reader.Release(); // An idle connection needs no buffer.
            await _connection.ReceiveAsync(default);
        }
        var count = await _connection.ReceiveAsync(_reader.Room());
        if (count == 0)
        {
            throw new EndOfStreamException();
        }
        _reader.Advance(count);
        Volatile.Write(ref _reads, _reads + 1);
    }

    /// <returns>False if it has stopped before the last message because the peer must read first.</returns>
    private bool TryReadAll()
    {
        SendBurst.Begin();
        try
        {
            while (!IsClosed && _reader.Read(out var message, out var command) is not Incoming.Nothing and var incoming)
            {
                if (incoming == Incoming.Message)
                {
                    _socket.OnMessage(this, message);
                }
                else
                {
                    OnCommand(Command.Parse(command.Span));
                }
                if (_own > 0 && MustRead())
                {
                    return false;
                }
            }
            return true;
        }
        finally
        {
            SendBurst.End();
        }
    }

    private bool MustRead()
    {
        _own = Math.Min(_own, _queue.Unsent);
        return _own > _socket.Limits.OwnBytes || _own > 0 && _queue.UnsentMessages > _socket.Limits.QueueMessages / 2;
    }

    private void CountExcess()
    {
        if (_reader.Excess is var excess && excess != _excess)
        {
            _share.Change(excess - _excess);
            _excess = excess;
        }
    }

    // Unknown commands are ignored; so is PONG, because any received byte counts as a sign of life.
    private void OnCommand(in Command command)
    {
        if (command.Is("PING"u8))
        {
            var pong = Command.Pong(command.Data);
            _own += pong.Length;
            SendCommand(pong);
        }
        else if (command.Is("SUBSCRIBE"u8) || command.Is("CANCEL"u8))
        {
            _socket.OnSubscription(this, command.Data, command.Is("CANCEL"u8));
        }
        else if (command.Is("ERROR"u8))
        {
            throw new ZmtpException(ZmtpFault.RefusedByPeer, $"ends the connection: {command.ReadError()}");
        }
    }

    private void SendCommand(ReadOnlySpan<byte> command)
    {
        if (_queue.Add(0, command) == SendQueue.Outcome.Full)
        {
            Close(ZmtpFault.NotReading, $"has {_socket.Limits.QueueBytes} bytes waiting and does not read");
        }
    }

    private void OnSendFailed(Exception? reason)
    {
        if (reason is null)
        {
            Close(ZmtpFault.NotReading, $"has taken nothing for {_socket.Limits.StallTimeout.TotalSeconds:0} s of what is sent to it");
            return;
        }
        _isBroken |= !IsClosed;
        Close();
    }

    private void Refuse(ZmtpException e)
    {
        if (!IsClosed || _isBroken)
        {
            ReportFault(e.Fault, e.Message);
        }
        if (!IsEstablished && e.Fault is not (ZmtpFault.NotZmtp or ZmtpFault.Version or ZmtpFault.RefusedByPeer))
        {
            SendCommand(Command.Error(e.Message));
        }
        Close();
    }

    private void ReportFault(ZmtpFault fault, string reason)
    {
        lock (_ended)
        {
            if (Fault is not null)
            {
                return;
            }
            Fault = fault;
        }
        _socket.OnFault(this, fault, reason);
    }
}
