namespace LoadBalancer.Configuration.Options;

/// <summary>How <c>https://</c> backends prove who they are.</summary>
public sealed record BackendTlsOptions
{
    /// <summary>A PEM file of the authorities to trust instead of the system's; a changed file is taken up within seconds. Default null: the system's.</summary>
    public string? AuthorityFile { get; init; }

    /// <summary>Whether the certificate is checked at all. Default true; false protects from listeners, not from impostors.</summary>
    public bool Verify { get; init; } = true;

    /// <summary>The name that is asked for (SNI) and that the certificate must bear. Default null: the host of the backend's address.</summary>
    public string? ServerName { get; init; }
}
