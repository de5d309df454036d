namespace LoadBalancer.Discovery;

/// <summary>The types of DNS records that are asked for or looked at, by their numbers.</summary>
internal enum DnsRecordType : ushort
{
    /// <summary>An IPv4 address.</summary>
    A = 1,

    /// <summary>Another name, which has the records.</summary>
    Cname = 5,

    /// <summary>An IPv6 address (RFC 3596).</summary>
    Aaaa = 28,

    /// <summary>A server of a service (RFC 2782).</summary>
    Srv = 33,

    /// <summary>What a client can take (RFC 6891).</summary>
    Opt = 41,
}
