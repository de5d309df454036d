namespace LoadBalancer.Configuration.Options;

/// <summary>How clients prove by a certificate who they are, before anything is said inside TLS.</summary>
public sealed record ClientCertificateOptions
{
    /// <summary>
    /// A PEM file of the authorities that issue the clients' certificates, down to the root; a changed file is read again within seconds.
    /// Required.
    /// </summary>
    [BesideConfiguration]
    public string AuthorityFile { get; init; } = null!;

    /// <summary>Whether a client must have one. Default Require.</summary>
    public ClientCertificateMode Mode { get; init; }
}
