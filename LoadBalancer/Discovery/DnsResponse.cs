namespace LoadBalancer.Discovery;

/// <summary>What a DNS server has answered.</summary>
/// <param name="Code">The response code: 0 is success, 3 that there is no such name.</param>
/// <param name="IsTruncated">Whether records were left out because the datagram was full.</param>
/// <param name="Answers">The answers.</param>
/// <param name="Additional">What the server thinks will be asked next, such as the addresses of the servers of a service.</param>
internal sealed record DnsResponse(
    int Code, bool IsTruncated, IReadOnlyList<DnsRecord> Answers, IReadOnlyList<DnsRecord> Additional)
{
    /// <summary>Success.</summary>
    public const int NoError = 0;

    /// <summary>The server did not understand the question, perhaps because of what the client says that it can take.</summary>
    public const int FormatError = 1;

    /// <summary>The server could not find out.</summary>
    public const int ServerFailure = 2;

    /// <summary>There is no such name.</summary>
    public const int NoSuchName = 3;

    /// <summary>The server does not want to answer.</summary>
    public const int Refused = 5;
}
