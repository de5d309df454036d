using System.Text;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>What is in the files of a certificate. A PFX file has a character for each of its bytes.</summary>
/// <param name="Certificate">In the file of the certificate.</param>
/// <param name="Key">In that of the key; null where there is none.</param>
/// <param name="Password">The password; null where there is none.</param>
internal sealed record CertificateText(string Certificate, string? Key, string? Password)
{
    /// <summary>Reads the files.</summary>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    public static CertificateText Read(CertificateOptions options) => new(
        File.ReadAllText(options.File, Encoding.Latin1),
        options.KeyFile is { } key ? File.ReadAllText(key, Encoding.Latin1) : null,
        options.KeyPasswordFile is { } password ? SecretFile.Read(password) : null);

    /// <summary>The same; null where one of them cannot be read.</summary>
    public static CertificateText? TryRead(CertificateOptions options)
    {
        try
        {
            return Read(options);
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => nameof(CertificateText); // never the key
}
