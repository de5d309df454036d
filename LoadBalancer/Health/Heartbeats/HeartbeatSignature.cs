using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Signs datagrams, and verifies signatures: <c>OK t=1764230000000 mac=9f86…</c>, where <c>t</c> is the time of sending in Unix
/// milliseconds and <c>mac</c> is HMAC-SHA256 (RFC 2104) over everything before <c> mac=</c>, in hex.
/// </summary>
/// <param name="key">The secret.</param>
/// <param name="time">The clock.</param>
internal sealed class HeartbeatSignature(byte[] key, TimeProvider time)
{
    /// <summary>
    /// How far the time of sending may be from now, in milliseconds, in either direction: clocks differ, and an older datagram may be a
    /// copy.
    /// </summary>
    public const long Window = 10_000;

    private const int MacBytes = HMACSHA256.HashSizeInBytes;

    private static ReadOnlySpan<byte> TimeMark => " t="u8;

    private static ReadOnlySpan<byte> MacMark => " mac="u8;

    /// <summary>Verifies that a datagram was signed with the key, not long ago.</summary>
    /// <param name="datagram">The whole datagram, trimmed.</param>
    /// <param name="signed">Its text, and when it was signed; valid only if the result is null.</param>
    /// <returns>What is wrong with it; null if it is valid.</returns>
    public HeartbeatResult? Verify(ReadOnlySpan<byte> datagram, out SignedText signed)
    {
        signed = default;
        var macStart = datagram.Length - (2 * MacBytes);
        if (macStart < MacMark.Length || !datagram[..macStart].EndsWith(MacMark))
        {
            return HeartbeatResult.BadMac;
        }
        var body = datagram[..(macStart - MacMark.Length)];
        var mark = body.LastIndexOf(TimeMark);
        if (mark < 0 || !Utf8Parser.TryParse(body[(mark + TimeMark.Length)..], out ulong at, out var digits)
            || mark + TimeMark.Length + digits != body.Length || at > long.MaxValue / 2)
        {
            return HeartbeatResult.BadMac;
        }
        // Before the hash, which costs more than everything else together.
        if (Math.Abs((long)at - time.GetUtcNow().ToUnixTimeMilliseconds()) > Window)
        {
            return HeartbeatResult.Stale;
        }
        Span<byte> stated = stackalloc byte[MacBytes], real = stackalloc byte[MacBytes];
        if (Convert.FromHexString(datagram[macStart..], stated, out _, out _) != OperationStatus.Done)
        {
            return HeartbeatResult.BadMac;
        }
        HMACSHA256.HashData(key, body, real);
        if (!CryptographicOperations.FixedTimeEquals(stated, real))
        {
            return HeartbeatResult.BadMac;
        }
        signed = new SignedText(body[..mark], (long)at, BinaryPrimitives.ReadUInt128BigEndian(real));
        return null;
    }

    /// <summary>Writes a text and its signature.</summary>
    /// <param name="text">The text.</param>
    /// <param name="into">Where to write to.</param>
    /// <param name="signed">The signed text, as <see cref="Verify"/> would return it.</param>
    /// <returns>The length in bytes.</returns>
    public int Sign(ReadOnlySpan<byte> text, Span<byte> into, out SignedText signed)
    {
        var at = time.GetUtcNow().ToUnixTimeMilliseconds();
        text.CopyTo(into);
        TimeMark.CopyTo(into[text.Length..]);
        Utf8Formatter.TryFormat(at, into[(text.Length + TimeMark.Length)..], out var digits);
        var length = text.Length + TimeMark.Length + digits;
        Span<byte> mac = stackalloc byte[MacBytes];
        HMACSHA256.HashData(key, into[..length], mac);
        MacMark.CopyTo(into[length..]);
        length += MacMark.Length;
        Convert.TryToHexStringLower(mac, into[length..], out var hex);
        signed = new SignedText(into[..text.Length], at, BinaryPrimitives.ReadUInt128BigEndian(mac));
        return length + hex;
    }
}

/// <summary>The text of a signed datagram, without its signature.</summary>
/// <param name="text">The text.</param>
/// <param name="at">When it was signed, in Unix milliseconds.</param>
/// <param name="id">The first half of its mac; different for every text and time.</param>
internal readonly ref struct SignedText(ReadOnlySpan<byte> text, long at, UInt128 id)
{
    public ReadOnlySpan<byte> Text { get; } = HeartbeatMessage.Trim(text);

    public long At { get; } = at;

    public UInt128 Id { get; } = id;
}
