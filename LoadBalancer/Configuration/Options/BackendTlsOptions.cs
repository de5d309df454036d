namespace LoadBalancer.Configuration.Options;

/// <summary>How the certificates of <c>https://</c> backends are checked.</summary>
public sealed record BackendTlsOptions
{
    /// <summary>
    /// A PEM file of the authorities to trust instead of the system's; a changed file is read again within seconds. Default null: the
    /// system's.
    /// </summary>
    public string? AuthorityFile { get; init; }

    /// <summary>
    /// Whether the certificate is checked at all. Default true. With false the data is encrypted, but the backend is not authenticated.
    /// </summary>
    public bool Verify { get; init; } = true;

    /// <summary>
    /// The name that is asked for (SNI) and that the certificate must have. Default null: the host of the backend's address.
    /// </summary>
    public string? ServerName { get; init; }
}
