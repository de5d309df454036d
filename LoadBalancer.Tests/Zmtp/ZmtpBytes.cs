using System.Text;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Zmtp;

/// <summary>What a peer sends, written out by hand; each character is one byte.</summary>
internal static class ZmtpBytes
{
    /// <summary>What libzmq 4.3.4 begins with.</summary>
    public static readonly string LibzmqGreeting = GreetingOf(1);

    /// <summary>A greeting of ZMTP 3 with that second number, as libzmq sends it.</summary>
    public static string GreetingOf(int minor) => "\xff\0\0\0\0\0\0\0\x01\x7f\x03" + (char)minor + "NULL" + new string('\0', 48);

    /// <summary>A READY.</summary>
    public static string Ready(string type, string? identity = null) =>
        CommandOf("READY", Property("Socket-Type", type) + (identity is null ? "" : Property("Identity", identity)));

    /// <summary>A command.</summary>
    public static string CommandOf(string name, string data) => FrameOf((char)name.Length + name + data, '\x04');

    /// <summary>A message.</summary>
    public static string MessageOf(params string[] frames) =>
        string.Concat(frames.Select((frame, index) => FrameOf(frame, index < frames.Length - 1 ? '\x01' : '\0')));

    /// <summary>A frame with the shortest head that holds its length.</summary>
    public static string FrameOf(string body, char flags) =>
        body.Length < 256 ? $"{flags}{(char)body.Length}{body}"
        : $"{(char)(flags | 2)}\0\0\0\0{(char)(body.Length >> 24)}" +
            $"{(char)(body.Length >> 16 & 255)}{(char)(body.Length >> 8 & 255)}{(char)(body.Length & 255)}{body}";

    /// <summary>A property of a READY.</summary>
    public static string Property(string name, string value) =>
        $"{(char)name.Length}{name}\0\0{(char)(value.Length >> 8)}{(char)(value.Length & 255)}{value}";

    public static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    /// <summary>Puts bytes into a reader.</summary>
    public static void Feed(this MessageReader reader, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var room = reader.Room();
            var count = Math.Min(room.Length, bytes.Length);
            bytes[..count].CopyTo(room.Span);
            reader.Advance(count);
            bytes = bytes[count..];
        }
    }
}
