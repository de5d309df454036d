using System.Buffers;

namespace LoadBalancer.Zmtp;

/// <summary>What a <see cref="MessageReader"/> has found.</summary>
internal enum Incoming
{
    /// <summary>Nothing that is whole.</summary>
    Nothing,

    /// <summary>A message.</summary>
    Message,

    /// <summary>A command.</summary>
    Command,
}

/// <summary>
/// Makes greetings, messages and commands of bytes that arrive in any pieces. Does no I/O. Its memory grows with what has arrived, not
/// with what was announced, and no further than the limits.
/// </summary>
internal sealed class MessageReader(ZmtpLimits limits)
{
    private const int SmallBuffer = 4 * 1024;
    private const int LargeBuffer = 64 * 1024;
    private const int LeastRoom = 256;

    // A message within the limits, one frame short of its last byte, and a command in the middle of it.
    private readonly int _mostBuffer = limits.MessageBytes + (limits.FramesPerMessage + 1) * Frame.LongestHead + limits.CommandBytes + LeastRoom;

    private byte[] _buffer = []; // none where nothing is in it, until there is to be room
    private int _start; // of the message that is not whole yet
    private int _next; // the first frame of it that was not looked at
    private int _end;
    private int _frames; // of it, before _next
    private long _bodies; // of these
    private int _step = SmallBuffer; // how much is worth reading at once

    /// <summary>Whether something has begun that is not whole.</summary>
    public bool IsInTheMiddle => _start < _end;

    /// <summary>Where the next bytes are to be put, once all that is whole was read. What was read before is no longer good then.</summary>
    public Memory<byte> Room()
    {
        if (!IsInTheMiddle)
        {
            Release(); // What a long message needed goes with it.
            _buffer = ArrayPool<byte>.Shared.Rent(_step);
        }
        else if (_buffer.Length - _end < LeastRoom)
        {
            Move(_end - _start <= _buffer.Length / 2 ? _buffer.Length : Math.Min(_buffer.Length * 2, _mostBuffer));
        }
        return _buffer.AsMemory(_end);
    }

    /// <summary>So many bytes were put there.</summary>
    public void Advance(int count)
    {
        _step = count == _buffer.Length - _end ? LargeBuffer : count <= SmallBuffer ? SmallBuffer : _step;
        _end += count;
    }

    /// <summary>Reads the greeting, which comes first.</summary>
    /// <exception cref="ZmtpException">It is none that we can go on with.</exception>
    public bool TryReadGreeting(out Greeting greeting)
    {
        if (!Greeting.TryRead(_buffer.AsSpan(_start, _end - _start), out greeting))
        {
            return false;
        }
        _start = _next = _start + Greeting.Length;
        return true;
    }

    /// <summary>Reads the next message or command.</summary>
    /// <param name="message">The message; without frames where it is a command.</param>
    /// <param name="command">The command's body.</param>
    /// <exception cref="ZmtpException">It is malformed, or beyond the limits.</exception>
    public Incoming Read(out ZmtpMessage message, out ReadOnlyMemory<byte> command)
    {
        (message, command) = (default, default);
        while (Frame.TryRead(_buffer.AsSpan(_next, _end - _next), out var frame))
        {
            Check(frame);
            var length = frame.HeadLength + (int)frame.BodyLength;
            if (_end - _next < length)
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
                message = new ZmtpMessage(_buffer.AsMemory(_start, _next - _start), _frames);
                (_start, _frames, _bodies) = (_next, 0, 0);
                return Incoming.Message;
            }
        }
        return Incoming.Nothing;
    }

    /// <summary>Gives its memory back, with whatever is in it.</summary>
    public void Release()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }
        (_buffer, _start, _next, _end) = ([], 0, 0, 0);
    }

    private void Check(in Frame frame)
    {
        var most = frame.IsCommand ? limits.CommandBytes : limits.FrameBytes;
        if (frame.BodyLength > (ulong)most)
        {
            throw new ZmtpException(ZmtpFault.FrameBytes, $"sent a {(frame.IsCommand ? "command" : "frame")} of {frame.BodyLength} bytes; {most} is the most");
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

    // libzmq sends its PING between the frames of a message too: what follows closes the gap.
    private ReadOnlyMemory<byte> Take(int length)
    {
        if (_next == _start)
        {
            _start = _next += length;
            return _buffer.AsMemory(_next - length, length);
        }
        var command = _buffer.AsSpan(_next, length).ToArray();
        _buffer.AsSpan(_next + length, _end - _next - length).CopyTo(_buffer.AsSpan(_next));
        _end -= length;
        return command;
    }

    private void Move(int size)
    {
        var before = _buffer;
        if (size > before.Length)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(size);
        }
        before.AsSpan(_start, _end - _start).CopyTo(_buffer);
        if (_buffer != before)
        {
            ArrayPool<byte>.Shared.Return(before);
        }
        (_next, _end, _start) = (_next - _start, _end - _start, 0);
    }
}
