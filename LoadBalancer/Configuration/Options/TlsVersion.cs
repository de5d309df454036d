namespace LoadBalancer.Configuration.Options;

/// <summary>A version of TLS. Older ones are never spoken (RFC 8996).</summary>
public enum TlsVersion
{
    /// <summary>TLS 1.2 (RFC 5246).</summary>
    Tls12,

    /// <summary>TLS 1.3 (RFC 8446).</summary>
    Tls13,
}
