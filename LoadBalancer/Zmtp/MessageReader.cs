using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>What a <see cref="MessageReader"/> has read.</summary>
internal enum Incoming
{
    /// <summary>Nothing complete yet.</summary>
    Nothing,

    /// <summary>A message.</summary>
    Message,

    /// <summary>A command.</summary>
    Command,
}

/// <summary>
/// Parses greetings, messages and commands from bytes that arrive in any pieces. Does no I/O. Its memory grows with the
/// bytes received, not with the announced length: at most to about twice the limits.
/// </summary>
internal sealed class MessageReader(ZmtpLimits limits)
{
    private const int SmallBuffer = 4 * 1024;
    private const int LargeBuffer = 64 * 1024;
    private const int LeastRoom = 256;

    private ReceiveBuffer _received = new(); // starts with the incomplete message
    private int _next; // the offset in it of the first frame that was not parsed yet
    private int _frames; // frames of the message before _next
    private long _bodies; // bytes in the bodies of these frames
    private int _step = SmallBuffer; // how much is worth reading at once

    /// <summary>Whether a part of a message or command has arrived.</summary>
    public bool IsInTheMiddle => !_received.IsEmpty;

    /// <summary>How many bytes of memory it has for a long message that has arrived in part; 0 for others.</summary>
    public int Excess => IsInTheMiddle && _received.Capacity > 4 * SmallBuffer ? _received.Capacity : 0;

    /// <summary>The memory for the next bytes, after all complete messages were read. Earlier messages become invalid.</summary>
    public Memory<byte> Room() => _received.Room(LeastRoom, _step);

    /// <summary>This many bytes were received into <see cref="Room"/>.</summary>
    public void Advance(int count) => _step = _received.Advance(count) ? LargeBuffer : count <= SmallBuffer ? SmallBuffer : _step;

    /// <summary>Reads the greeting, which comes first.</summary>
    /// <exception cref="ZmtpException">It is no greeting, or the version or mechanism is not supported.</exception>
    public bool TryReadGreeting(out Greeting greeting)
    {
        if (!Greeting.TryRead(_received.Span, out greeting))
        {
            return false;
        }
        _received.Consume(Greeting.Length);
        return true;
    }

    /// <summary>Reads the next message or command.</summary>
    /// <param name="message">The message; without frames where it is a command.</param>
    /// <param name="command">The command's body.</param>
    /// <exception cref="ZmtpException">It is malformed, or beyond the limits.</exception>
    public Incoming Read(out ZmtpMessage message, out ReadOnlyMemory<byte> command)
    {
        (message, command) = (default, default);
        while (Frame.TryRead(_received.Span[_next..], out var frame))
        {
            Check(frame);
            var length = frame.HeadLength + (int)frame.BodyLength;
            if (_received.Length - _next < length)
            {
                return Incoming.Nothing;
            }
            if (frame.IsCommand)
            {
                command = Take(length)[frame.HeadLength..];
                return Incoming.Command;
            }
            _next += length;
            _frames++;
            _bodies += (int)frame.BodyLength;
            if (!frame.HasMore)
            {
                message = new ZmtpMessage(_received.Memory[.._next], _frames);
                _received.Consume(_next);
                (_next, _frames, _bodies) = (0, 0, 0);
                return Incoming.Message;
            }
        }
        return Incoming.Nothing;
    }

    /// <summary>Gives its memory back, and drops the bytes in it.</summary>
    public void Release()
    {
        _received.Release();
        _next = 0;
    }

    private void Check(in Frame frame)
    {
        var most = frame.IsCommand ? limits.CommandBytes : limits.FrameBytes;
        if (frame.BodyLength > (ulong)most)
        {
            throw new ZmtpException(
                ZmtpFault.FrameBytes, $"sent a {(frame.IsCommand ? "command" : "frame")} of {frame.BodyLength} bytes; {most} is the most");
        }
        if (frame.IsCommand)
        {
            return;
        }
        if (_frames >= limits.FramesPerMessage)
        {
            throw new ZmtpException(ZmtpFault.FramesPerMessage, $"sent a message of more than {limits.FramesPerMessage} frames");
        }
        if (_bodies + (long)frame.BodyLength > limits.MessageBytes)
        {
            throw new ZmtpException(ZmtpFault.MessageBytes, $"sent a message of more than {limits.MessageBytes} bytes");
        }
    }

    // libzmq may send a PING between two frames of a message: remove it, so that the frames are in one piece.
    private ReadOnlyMemory<byte> Take(int length)
    {
        var command = _received.Memory.Slice(_next, length);
        if (_next == 0)
        {
            _received.Consume(length);
            return command;
        }
        command = command.ToArray();
        _received.Remove(_next, length);
        return command;
    }
}
