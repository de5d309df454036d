namespace LoadBalancer.Discovery;

/// <summary>What becomes of the servers that a name leads to.</summary>
internal enum NameKind
{
    /// <summary>One backend has all the addresses of the name.</summary>
    First,

    /// <summary>Every address of the name is a backend.</summary>
    All,

    /// <summary>Every server of the service is a backend.</summary>
    Service,
}
