using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>A connection to a peer: the handshake, then messages in both directions.</summary>
#pragma warning disable CA1001 // Its queue is disposed of when its connection is closed.
public sealed class ZmtpPeer
#pragma warning restore CA1001
{
    private readonly ZmtpSocket _socket;
    private readonly IConnection _connection;
    private readonly MessageReader _reader;
    private readonly SendQueue _queue;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? _handshake;
    private int _isClosed;
    private volatile bool _isBroken; // It was closed because nothing could be sent, which is not the last word on why.
    private int _reads; // for the sweep, with the three that follow
    private int _readsSeen;
    private long _readsSeenAt;
    private bool _isAsked;

    internal ZmtpPeer(ZmtpSocket socket, IConnection connection, EndPoint? remote)
    {
        (_socket, _connection, Remote) = (socket, connection, remote);
        _reader = new MessageReader(socket.Limits);
        var limits = socket.Limits;
        _queue = new SendQueue(
            connection, new SendLimits(limits.QueueBytes, limits.QueueMessages), limits.StallTimeout, SendBurst.Flush, OnSendFailed,
            socket.Time, socket.Logger);
    }

    /// <summary>Where it is; null where that is not known.</summary>
    public EndPoint? Remote { get; }

    /// <summary>
    /// Its identity: on a ROUTER the one that it has, or else one that we gave it, which begins with a zero byte; on another socket
    /// what it said, which may be nothing.
    /// </summary>
    public ReadOnlyMemory<byte> Identity { get; internal set; }

    /// <summary>Its type.</summary>
    public ZmtpSocketType Type { get; private set; }

    /// <summary>Why it lost its connection; null where it did not, or in an orderly way.</summary>
    public ZmtpFault? Fault { get; private set; }

    /// <summary>Whatever the owner keeps with it.</summary>
    public object? State { get; set; }

    /// <summary>Whether the connection is over, or about to be.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed) != 0;

    /// <summary>Whether the handshake was finished; then it is worth coming back soon.</summary>
    internal bool IsEstablished { get; private set; }

    /// <summary>Whether it speaks ZMTP 3.1.</summary>
    internal bool SpeaksCommands { get; private set; }

    /// <summary>Ends when there is nothing left of it.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>What its subscriptions are kept in.</summary>
    internal Subscriber Subscriber => field ??= new Subscriber(this);

    /// <summary>
    /// Sends it a message, or lets it wait. Where too much waits already the message is dropped, and a peer of a socket that does not
    /// publish loses its connection, because it does not read.
    /// </summary>
    /// <returns>False where it was dropped.</returns>
    /// <exception cref="ArgumentException">It is no message: it has no frames.</exception>
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

    /// <summary>Ends the connection. What waits to be sent is not.</summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) == 0)
        {
            _queue.Dispose();
            _connection.Dispose();
        }
    }

    /// <summary>What it is called in logs: its identity, where it has one of its own that can be read, and where it is.</summary>
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

    /// <summary>Lives through the connection, from the greeting to its end.</summary>
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
                ReadAll();
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
            _socket.OnFault(this, ZmtpFault.Internal, $"could not be dealt with: {e}"); // Whatever else was the matter, this must be told.
        }
        finally
        {
            Close();
            _handshake?.Dispose();
            _reader.Release();
            _socket.Remove(this, isAdmitted);
            _ended.SetResult();
        }
    }

    /// <summary>A look at it now and then: whether it still reads, and is there at all.</summary>
    internal void Inspect(long now)
    {
        var (limits, time) = (_socket.Limits, _socket.Time);
        if (Volatile.Read(ref _reads) is var reads && reads != _readsSeen)
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
            _reader.Release(); // A connection that lies idle needs no memory for what may come.
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

    private void ReadAll()
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
            }
        }
        finally
        {
            SendBurst.End();
        }
    }

    // What we do not know, and a PONG, which was seen to have come, does not matter.
    private void OnCommand(in Command command)
    {
        if (command.Is("PING"u8))
        {
            SendCommand(Command.Pong(command.Data));
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
