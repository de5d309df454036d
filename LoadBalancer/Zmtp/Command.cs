using System.Buffers.Binary;
using System.Text;

namespace LoadBalancer.Zmtp;

/// <summary>A command's body: a name and its data (RFC 23 "Commands", RFC 37).</summary>
internal readonly ref struct Command
{
    private const int LongestIdentity = 255;
    private const int TimeToLiveLength = 2;
    private const int LongestContext = 16;

    private Command(ReadOnlySpan<byte> name, ReadOnlySpan<byte> data)
    {
        Name = name;
        Data = data;
    }

    /// <summary>Its name.</summary>
    public ReadOnlySpan<byte> Name { get; }

    /// <summary>What follows the name.</summary>
    public ReadOnlySpan<byte> Data { get; }

    /// <summary>Parses a body.</summary>
    /// <exception cref="ZmtpException">It has no name, or only a part of one.</exception>
    public static Command Parse(ReadOnlySpan<byte> body) =>
        body.Length > 0 && body[0] > 0 && body[0] < body.Length ? new Command(body[1..(body[0] + 1)], body[(body[0] + 1)..])
        : throw Malformed("without a name");

    /// <summary>Our READY.</summary>
    public static byte[] Ready(ZmtpSocketType type, ReadOnlySpan<byte> identity)
    {
        Span<byte> data = stackalloc byte[64 + LongestIdentity];
        var length = WriteProperty(data, "Socket-Type"u8, Encoding.ASCII.GetBytes(type.Name()));
        if (type.HasIdentity())
        {
            length += WriteProperty(data[length..], "Identity"u8, identity);
        }
        return Write("READY"u8, data[..length]);
    }

    /// <summary>An ERROR, with a reason of at most 255 bytes of ASCII.</summary>
    public static byte[] Error(string reason)
    {
        var text = Encoding.ASCII.GetBytes(reason.Length > byte.MaxValue ? reason[..byte.MaxValue] : reason);
        return Write("ERROR"u8, [(byte)text.Length, .. text]);
    }

    /// <summary>SUBSCRIBE.</summary>
    public static byte[] Subscribe(ReadOnlySpan<byte> prefix) => Write("SUBSCRIBE"u8, prefix);

    /// <summary>CANCEL.</summary>
    public static byte[] Cancel(ReadOnlySpan<byte> prefix) => Write("CANCEL"u8, prefix);

    /// <summary>PING: without a time to live, because only this side watches, and without a context.</summary>
    public static byte[] Ping() => Write("PING"u8, [0, 0]);

    /// <summary>The answer to a PING: its context.</summary>
    /// <exception cref="ZmtpException">The PING has no time to live, or more than 16 bytes of context.</exception>
    public static byte[] Pong(ReadOnlySpan<byte> ping) =>
        ping.Length is >= TimeToLiveLength and <= TimeToLiveLength + LongestContext ? Write("PONG"u8, ping[TimeToLiveLength..])
        : throw Malformed("PING of a wrong length");

    /// <summary>Whether it has this name.</summary>
    public bool Is(ReadOnlySpan<byte> name) => Name.SequenceEqual(name);

    /// <summary>Reads a READY. Property names are case-insensitive; unknown properties are ignored.</summary>
    /// <exception cref="ZmtpException">It is malformed, or the type or identity is impossible.</exception>
    public (ZmtpSocketType? Type, string TypeName, byte[] Identity) ReadReady()
    {
        string? type = null;
        byte[] identity = [];
        var rest = Data;
        while (!rest.IsEmpty)
        {
            var nameLength = rest[0];
            if (nameLength == 0 || rest.Length < 1 + nameLength + sizeof(uint))
            {
                throw Malformed("READY with a property that is cut short");
            }
            var name = rest.Slice(1, nameLength);
            var valueLength = BinaryPrimitives.ReadUInt32BigEndian(rest[(1 + nameLength)..]);
            rest = rest[(1 + nameLength + sizeof(uint))..];
            if (valueLength > (uint)rest.Length)
            {
                throw Malformed("READY with a property that is cut short");
            }
            var value = rest[..(int)valueLength];
            rest = rest[(int)valueLength..];
            if (Ascii.EqualsIgnoreCase(name, "Socket-Type"u8))
            {
                type = Encoding.ASCII.GetString(value[..Math.Min(value.Length, 16)]);
            }
            else if (Ascii.EqualsIgnoreCase(name, "Identity"u8))
            {
                identity = value.Length <= LongestIdentity && (value.IsEmpty || value[0] != 0) ? value.ToArray()
                    : throw new ZmtpException(ZmtpFault.Identity, "has an identity that is longer than 255 bytes or begins with a zero");
            }
        }
        return type is null ? throw Malformed("READY without Socket-Type") : (ZmtpSocketTypes.Find(type), Printable(type), identity);
    }

    /// <summary>Reads the reason of an ERROR; characters that are not printable ASCII are left out.</summary>
    public string ReadError() =>
        Data.IsEmpty ? "" : Printable(Encoding.Latin1.GetString(Data.Slice(1, Math.Min(Data[0], Data.Length - 1))));

    private static byte[] Write(ReadOnlySpan<byte> name, ReadOnlySpan<byte> data)
    {
        Span<byte> body = stackalloc byte[1 + byte.MaxValue];
        var length = 1 + name.Length + data.Length;
        body = length <= body.Length ? body[..length] : new byte[length];
        body[0] = (byte)name.Length;
        name.CopyTo(body[1..]);
        data.CopyTo(body[(1 + name.Length)..]);
        var frame = new byte[Frame.LengthOf(length)];
        Frame.Write(body, Frame.Command, frame);
        return frame;
    }

    private static int WriteProperty(Span<byte> into, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        into[0] = (byte)name.Length;
        name.CopyTo(into[1..]);
        BinaryPrimitives.WriteUInt32BigEndian(into[(1 + name.Length)..], (uint)value.Length);
        value.CopyTo(into[(1 + name.Length + sizeof(uint))..]);
        return 1 + name.Length + sizeof(uint) + value.Length;
    }

    private static ZmtpException Malformed(string what) => new(ZmtpFault.Command, $"sent a command {what}");

    private static string Printable(string text) => string.Concat(text.Where(c => c is >= ' ' and <= '~'));
}
