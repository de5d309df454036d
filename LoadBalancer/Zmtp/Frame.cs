using System.Buffers.Binary;

namespace LoadBalancer.Zmtp;

/// <summary>The head of a frame: one byte of flags and the length of the body in one byte, or in eight (RFC 23, "Framing").</summary>
/// <param name="Flags">More, long, command.</param>
/// <param name="BodyLength">How many bytes follow.</param>
internal readonly record struct Frame(byte Flags, ulong BodyLength)
{
    /// <summary>Another frame of the message follows.</summary>
    public const byte More = 1;

    /// <summary>The length has eight bytes.</summary>
    public const byte Long = 2;

    /// <summary>It is a command.</summary>
    public const byte Command = 4;

    /// <summary>The longest head.</summary>
    public const int LongestHead = 9;

    private const int ShortHead = 2;

    /// <summary>How long the head is.</summary>
    public int HeadLength => HeadLengthOf(Flags);

    /// <summary>Whether it is a command.</summary>
    public bool IsCommand => (Flags & Command) != 0;

    /// <summary>Whether another frame of the message follows.</summary>
    public bool HasMore => (Flags & More) != 0;

    /// <summary>Reads the head.</summary>
    /// <returns>False if the head is not complete yet.</returns>
    /// <exception cref="ZmtpException">Its flags are invalid.</exception>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out Frame frame)
    {
        frame = default;
        if (bytes.IsEmpty)
        {
            return false;
        }
        var flags = bytes[0];
        if (flags > (More | Long | Command) || (flags & (More | Command)) == (More | Command))
        {
            throw new ZmtpException(ZmtpFault.Flags, $"sent a frame with the flags 0x{flags:x2}, which mean nothing");
        }
        if (bytes.Length < HeadLengthOf(flags))
        {
            return false;
        }
        frame = new Frame(flags, (flags & Long) == 0 ? bytes[1] : BinaryPrimitives.ReadUInt64BigEndian(bytes[1..]));
        return true;
    }

    /// <summary>How long the whole frame with a body of that length is.</summary>
    public static int LengthOf(int bodyLength) => (bodyLength > byte.MaxValue ? LongestHead : ShortHead) + bodyLength;

    /// <summary>Writes a frame.</summary>
    /// <param name="body">What is in it.</param>
    /// <param name="flags"><see cref="More"/> or <see cref="Command"/>, or neither.</param>
    /// <param name="into">Where to.</param>
    /// <returns>How long it is.</returns>
    public static int Write(ReadOnlySpan<byte> body, byte flags, Span<byte> into)
    {
        var head = ShortHead;
        if (body.Length > byte.MaxValue)
        {
            head = LongestHead;
            into[0] = (byte)(flags | Long);
            BinaryPrimitives.WriteUInt64BigEndian(into[1..], (ulong)body.Length);
        }
        else
        {
            (into[0], into[1]) = (flags, (byte)body.Length);
        }
        body.CopyTo(into[head..]);
        return head + body.Length;
    }

    private static int HeadLengthOf(byte flags) => (flags & Long) == 0 ? ShortHead : LongestHead;
}
