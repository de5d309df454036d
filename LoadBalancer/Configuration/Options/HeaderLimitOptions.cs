namespace LoadBalancer.Configuration.Options;

/// <summary>
/// How large the head of a request may be beside its request line. Beyond any of these the answer is 431. The crumbs of one cookie over
/// HTTP/2 (RFC 9113 section 8.2.3) are one line.
/// </summary>
public sealed record HeaderLimitOptions
{
    /// <summary>How many field lines there may be, with Host. Default 100.</summary>
    public int Count { get; init; } = 100;

    /// <summary>How many bytes all field lines may have together, with their line ends. Default 32 KB.</summary>
    public int TotalBytes { get; init; } = 32 * 1024;

    /// <summary>How many bytes a field line may have, with its line end. Default 8 KB.</summary>
    public int LineBytes { get; init; } = 8 * 1024;
}
