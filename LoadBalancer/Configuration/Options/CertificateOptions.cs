namespace LoadBalancer.Configuration.Options;

/// <summary>A certificate with its private key, in PEM.</summary>
public sealed record CertificateOptions
{
    /// <summary>The file of the certificate, followed by those of its issuers. Required.</summary>
    public string File { get; init; } = null!;

    /// <summary>The file of its private key, unencrypted. Null (the default): the key is in <see cref="File"/>.</summary>
    public string? KeyFile { get; init; }
}
