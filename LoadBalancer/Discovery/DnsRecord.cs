using System.Net;

namespace LoadBalancer.Discovery;

/// <summary>One record of a DNS answer.</summary>
/// <param name="Owner">The name that has it, without the dot at its end.</param>
/// <param name="Type">What it is.</param>
/// <param name="Ttl">How long it may be kept, in seconds.</param>
internal sealed record DnsRecord(string Owner, DnsRecordType Type, uint Ttl)
{
    /// <summary>The address of an A or AAAA record.</summary>
    public IPAddress? Address { get; init; }

    /// <summary>The other name of a CNAME record, or the server of an SRV record; empty for the root.</summary>
    public string Target { get; init; } = "";

    /// <summary>Of an SRV record: servers with the lowest number come first.</summary>
    public int Priority { get; init; }

    /// <summary>Of an SRV record: its share among those of the same priority.</summary>
    public int Weight { get; init; }

    /// <summary>Of an SRV record: where the server listens.</summary>
    public int Port { get; init; }
}
