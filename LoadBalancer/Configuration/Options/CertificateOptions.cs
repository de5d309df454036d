namespace LoadBalancer.Configuration.Options;

/// <summary>A certificate with its private key, in PEM or in a PFX file (PKCS #12).</summary>
public sealed record CertificateOptions
{
    /// <summary>The file of the certificate, followed by those of its issuers; or a PFX file, which has the key too. Required.</summary>
    public string File { get; init; } = null!;

    /// <summary>The PEM file of its private key. Null (the default): the key is in <see cref="File"/>.</summary>
    public string? KeyFile { get; init; }

    /// <summary>A file with the password of an encrypted key or PFX file, and nothing else. Null (the default): there is none.</summary>
    public string? KeyPasswordFile { get; init; }
}
