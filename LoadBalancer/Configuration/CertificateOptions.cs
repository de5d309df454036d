using System.Net.Security;

namespace LoadBalancer.Configuration;

/// <summary>A certificate with its private key, in PEM.</summary>
public sealed record CertificateOptions
{
    /// <summary>The file of the certificate, followed by those of its issuers. Required.</summary>
    public string? File { get; init; }

    /// <summary>The file of its private key, unencrypted. Null (the default): the key is in <see cref="File"/>.</summary>
    public string? KeyFile { get; init; }

    /// <summary>Reads both files.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">What is in them is of no use.</exception>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    internal SslStreamCertificateContext Read() =>
        PemCertificate.Read(System.IO.File.ReadAllText(File!), KeyFile is null ? null : System.IO.File.ReadAllText(KeyFile));
}
