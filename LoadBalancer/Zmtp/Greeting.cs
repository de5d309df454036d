namespace LoadBalancer.Zmtp;

/// <summary>The 64 bytes that each side begins with: signature, version, mechanism (RFC 23, "The Greeting").</summary>
/// <param name="Minor">The version's second number: 0 or 1 are what we know.</param>
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
        0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, Major, 1, (byte)'N', (byte)'U', (byte)'L', (byte)'L', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// <summary>
    /// Reads the peer's. Looks at what there is of it, so that who speaks another protocol is found out with its first byte. The
    /// signature's padding, as-server and the filler are not looked at: libzmq sends a length of older versions in the first.
    /// </summary>
    /// <returns>False where not all of it is there yet.</returns>
    /// <exception cref="ZmtpException">It is none that we can go on with.</exception>
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
        greeting = new Greeting(bytes[MajorAt] > Major ? byte.MaxValue : bytes[MinorAt]); // A later one speaks ours.
        return true;
    }
}
