using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>
/// Certificates that stand in until the first one of an authority is there: clients see a warning instead of a closed port.
/// </summary>
internal static class SelfSigned
{
    private static readonly TimeSpan Margin = TimeSpan.FromDays(1); // for clocks that differ
    private const int Years = 10;

    /// <summary>Makes one for a name, with a new key.</summary>
    /// <param name="name">The name, in A-labels.</param>
    /// <param name="now">The present time.</param>
    public static SslStreamCertificateContext Create(string name, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(new X500DistinguishedName("CN=self-signed"), key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        var certificate = request.CreateSelfSigned(now - Margin, now.AddYears(Years));
        return SslStreamCertificateContext.Create(certificate, null, offline: true);
    }
}
