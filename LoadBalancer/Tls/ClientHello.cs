using System.Buffers.Binary;
using System.Text;

namespace LoadBalancer.Tls;

/// <summary>
/// What decides which certificate a client gets: the parts of its ClientHello (RFC 8446 section 4.1.2) that the framework does not hand
/// on, or only changed.
/// </summary>
/// <param name="ServerName">
/// The name that it asks for (SNI), as it was sent: international names in A-labels, or by some clients in UTF-8. Null for none.
/// </param>
/// <param name="Keys">The kinds of keys with which it can verify a signature.</param>
/// <param name="IsTls13">Whether it offers TLS 1.3, which is then spoken.</param>
internal readonly record struct ClientHello(string? ServerName, VerifiableKeys Keys, bool IsTls13)
{
    /// <summary>The most bytes of a ClientHello that are looked at; a longer one counts as one that says nothing.</summary>
    public const int MaxLength = 32 * 1024;

    private const int RecordHeader = 5;
    private const int MessageHeader = 4;
    private const byte Handshake = 22;
    private const byte Hello = 1;

    /// <summary>Reads the records at the beginning of a connection.</summary>
    /// <param name="bytes">All bytes that have come so far.</param>
    /// <param name="hello">What it says; nothing where it is malformed, which TLS itself will find.</param>
    /// <returns>False if more bytes are needed.</returns>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out ClientHello hello)
    {
        hello = default;
        if (bytes.Length < RecordHeader)
        {
            return bytes.Length > 0 && bytes[0] != Handshake;
        }
        var length = BinaryPrimitives.ReadUInt16BigEndian(bytes[3..]);
        if (bytes[0] != Handshake || length < MessageHeader || bytes.Length >= MaxLength)
        {
            return true;
        }
        if (bytes.Length < RecordHeader + length)
        {
            return false;
        }
        var message = bytes.Slice(RecordHeader, length);
        var whole = MessageHeader + MessageLength(message);
        if (whole > length)
        {
            if (!TryJoin(bytes, whole, out var joined))
            {
                return false;
            }
            message = joined;
        }
        if (message.Length >= whole && message[0] == Hello)
        {
            hello = Read(message[MessageHeader..whole]);
        }
        return true;
    }

    private static int MessageLength(ReadOnlySpan<byte> message) => message[1] << 16 | message[2] << 8 | message[3];

    // A message may be spread over several records. Where one of them is none of a handshake, the message stays incomplete.
    private static bool TryJoin(ReadOnlySpan<byte> bytes, int whole, out byte[] joined)
    {
        var message = new List<byte>();
        while (message.Count < whole && whole < MaxLength)
        {
            if (bytes.Length < RecordHeader || bytes.Length < RecordHeader + BinaryPrimitives.ReadUInt16BigEndian(bytes[3..]))
            {
                joined = [];
                return false;
            }
            var length = BinaryPrimitives.ReadUInt16BigEndian(bytes[3..]);
            if (bytes[0] != Handshake || length == 0)
            {
                break;
            }
            message.AddRange(bytes.Slice(RecordHeader, length));
            bytes = bytes[(RecordHeader + length)..];
        }
        joined = [.. message];
        return true;
    }

    private static ClientHello Read(ReadOnlySpan<byte> body)
    {
        var reader = new TlsReader(body);
        reader.Skip(2 + 32); // version and random
        reader.Vector8(); // session id
        var suites = reader.Vector16();
        reader.Vector8(); // compression
        var extensions = new TlsReader(reader.Vector16());
        string? name = null;
        var schemes = ReadOnlySpan<byte>.Empty;
        var groups = ReadOnlySpan<byte>.Empty;
        var versions = ReadOnlySpan<byte>.Empty;
        while (!extensions.IsEmpty)
        {
            var type = extensions.Number16();
            var content = new TlsReader(extensions.Vector16());
            switch (type)
            {
                case 0: // server_name, RFC 6066 section 3
                    var names = new TlsReader(content.Vector16());
                    name = names.Number8() == 0 ? Encoding.UTF8.GetString(names.Vector16()) : null;
                    break;
                case 10: // supported_groups
                    groups = content.Vector16();
                    break;
                case 13: // signature_algorithms
                    schemes = content.Vector16();
                    break;
                case 43: // supported_versions
                    versions = content.Vector8();
                    break;
            }
        }
        var isTls13 = Contains(versions, 0x0304);
        var keys = isTls13 ? KeysOfTls13(schemes) : KeysOfTls12(schemes, suites, groups);
        return new ClientHello(string.IsNullOrEmpty(name) ? null : name, keys, isTls13);
    }

    // RFC 8446 section 4.2.3: a scheme of ECDSA names the curve too.
    private static VerifiableKeys KeysOfTls13(ReadOnlySpan<byte> schemes)
    {
        var keys = VerifiableKeys.None;
        for (; schemes.Length > 1; schemes = schemes[2..])
        {
            keys |= BinaryPrimitives.ReadUInt16BigEndian(schemes) switch
            {
                0x0403 => VerifiableKeys.P256,
                0x0503 => VerifiableKeys.P384,
                0x0603 => VerifiableKeys.P521,
                0x0804 or 0x0805 or 0x0806 => VerifiableKeys.Rsa,
                _ => VerifiableKeys.None,
            };
        }
        return keys;
    }

    // With TLS 1.2 any curve of supported_groups will do, but the cipher suite decides too (RFC 8422 section 5.1, RFC 5246 section 7.4.2).
    // Without a signature algorithm newer than SHA-1 only RSA is tried.
    private static VerifiableKeys KeysOfTls12(ReadOnlySpan<byte> schemes, ReadOnlySpan<byte> suites, ReadOnlySpan<byte> groups)
    {
        var curves = groups.IsEmpty ? VerifiableKeys.Ecdsa
            : (Contains(groups, 23) ? VerifiableKeys.P256 : 0) | (Contains(groups, 24) ? VerifiableKeys.P384 : 0)
            | (Contains(groups, 25) ? VerifiableKeys.P521 : 0);
        var isEcdsa = Contains(schemes, 0x0403) || Contains(schemes, 0x0503) || Contains(schemes, 0x0603);
        return VerifiableKeys.Rsa | (isEcdsa && HasEcdsaSuite(suites) ? curves : VerifiableKeys.None);
    }

    private static bool HasEcdsaSuite(ReadOnlySpan<byte> suites)
    {
        for (; suites.Length > 1; suites = suites[2..])
        {
            if (BinaryPrimitives.ReadUInt16BigEndian(suites) is
                0xC009 or 0xC00A or 0xC023 or 0xC024 or 0xC02B or 0xC02C or 0xCCA9 or (>= 0xC0AC and <= 0xC0AF))
            {
                return true;
            }
        }
        return false;
    }

    private static bool Contains(ReadOnlySpan<byte> numbers, ushort number)
    {
        for (; numbers.Length > 1; numbers = numbers[2..])
        {
            if (BinaryPrimitives.ReadUInt16BigEndian(numbers) == number)
            {
                return true;
            }
        }
        return false;
    }
}
