namespace LoadBalancer.Zmtp;

/// <summary>The first 64 bytes of each side: signature, version, mechanism (RFC 23, "The Greeting").</summary>
/// <param name="Minor">The minor version; 0 and 1 are known here.</param>
internal readonly record struct Greeting(byte Minor)
{
    /// <summary>How long it is.</summary>
    public const int Length = 64;

    private const int SignatureEnd = 9;
    private const int MajorAt = 10;
    private const int MinorAt = 11;
    private const int MechanismAt = 12;
    private const int MechanismLength = 20;
    private const byte Major = 3;

    /// <summary>Ours: 3.1, NULL.</summary>
    public static ReadOnlySpan<byte> Ours =>
    [
        0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, Major, 1,
        (byte)'N', (byte)'U', (byte)'L', (byte)'L', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// <summary>
    /// Reads the peer's greeting. Checks the bytes that have arrived, so that a peer of another protocol is found with its first byte. The
    /// signature's padding, as-server and the filler are ignored: libzmq writes a length of older versions into the padding.
    /// </summary>
    /// <returns>False if the greeting is not complete yet.</returns>
    /// <exception cref="ZmtpException">It is no greeting, or the version or mechanism is not supported.</exception>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out Greeting greeting)
    {
        greeting = default;
        if ((bytes.Length > 0 && bytes[0] != 0xFF) || (bytes.Length > SignatureEnd && bytes[SignatureEnd] != 0x7F))
        {
            throw new ZmtpException(ZmtpFault.NotZmtp, "does not speak ZMTP");
        }
        if (bytes.Length > MajorAt && bytes[MajorAt] < Major)
        {
            throw new ZmtpException(ZmtpFault.Version, $"speaks ZMTP {bytes[MajorAt]}, and 3.0 is the oldest understood here");
        }
        if (bytes.Length < Length)
        {
            return false;
        }
        if (!bytes.Slice(MechanismAt, MechanismLength).SequenceEqual(Ours.Slice(MechanismAt, MechanismLength)))
        {
            throw new ZmtpException(ZmtpFault.Mechanism, "wants a security mechanism; only NULL is spoken here");
        }
        greeting = new Greeting(bytes[MajorAt] > Major ? byte.MaxValue : bytes[MinorAt]); // A peer of a later version also speaks 3.1.
        return true;
    }
}
