namespace LoadBalancer.Tls;

/// <summary>The kinds of keys of certificates that matter to clients: which of them a client can verify a signature of.</summary>
[Flags]
internal enum VerifiableKeys
{
    /// <summary>None of those below.</summary>
    None = 0,

    /// <summary>RSA, of any length.</summary>
    Rsa = 1,

    /// <summary>ECDSA with the curve P-256.</summary>
    P256 = 2,

    /// <summary>ECDSA with the curve P-384.</summary>
    P384 = 4,

    /// <summary>ECDSA with the curve P-521.</summary>
    P521 = 8,

    /// <summary>ECDSA with any of these curves.</summary>
    Ecdsa = P256 | P384 | P521,

    /// <summary>All of them.</summary>
    All = Rsa | Ecdsa,
}
