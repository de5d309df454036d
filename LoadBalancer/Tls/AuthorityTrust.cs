using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>Whom the node trusts where it is a client of a service: an ACME authority, etcd.</summary>
internal static class AuthorityTrust
{
    /// <summary>Trusts the authorities of a PEM file; without one those of the system.</summary>
    /// <exception cref="IOException">The file cannot be read. Others for files are possible too.</exception>
    public static SslClientAuthenticationOptions Of(string? file)
    {
        if (file is null)
        {
            return new SslClientAuthenticationOptions();
        }
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(PemCertificate.ReadAuthorities(File.ReadAllText(file)));
        return new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
    }
}
