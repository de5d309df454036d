using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>
/// A certificate as administrators keep it: PEM, the server's own first, its issuers after it, the key there too or in another file; or a
/// PFX file (PKCS #12, RFC 7292) with all of that.
/// </summary>
internal static class ServerCertificate
{
    /// <summary>Reads a certificate with its issuers and its private key.</summary>
    /// <returns>What a TLS handshake needs.</returns>
    /// <exception cref="CryptographicException">They cannot be used; the message says to the user why.</exception>
    /// <exception cref="IOException">One of the files cannot be read.</exception>
    public static SslStreamCertificateContext Read(CertificateOptions options) => Read(CertificateText.Read(options));

    /// <summary>The same, from what is in the files.</summary>
    /// <exception cref="CryptographicException">They cannot be used; the message says to the user why.</exception>
    public static SslStreamCertificateContext Read(CertificateText text)
    {
        var (certificate, issuers) = IsPfx(text.Certificate) ? ReadPfx(text) : ReadPem(text);
        // Offline: what the file does not have is not fetched from the network either.
        return SslStreamCertificateContext.Create(certificate, issuers, offline: true);
    }

    /// <summary>What is wrong with a certificate's files, or null.</summary>
    /// <param name="options">The files.</param>
    /// <param name="validity">When it is valid; null where it cannot be used.</param>
    public static string? FindError(CertificateOptions options, out Validity? validity)
    {
        Validity? found = null;
        var error = PemCertificate.ErrorOf(() => found = Validity.Of(Read(options).TargetCertificate));
        validity = found;
        return error;
    }

    private static (X509Certificate2 Certificate, X509Certificate2Collection Issuers) ReadPem(CertificateText text)
    {
        var (pem, key) = (text.Certificate, text.Key ?? text.Certificate);
        var chain = new X509Certificate2Collection();
        try
        {
            chain.ImportFromPem(pem);
            return (text.Password is { } password && IsEncrypted(key)
                ? X509Certificate2.CreateFromEncryptedPem(pem, key, password) : X509Certificate2.CreateFromPem(pem, key), chain);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new CryptographicException(
                chain.Count == 0 ? "there is no certificate in it"
                : key.Contains("Proc-Type: 4,ENCRYPTED", StringComparison.Ordinal)
                    ? "its key is encrypted in an old format; convert it with openssl pkcs8 -topk8"
                : IsEncrypted(key) ? text.Password is null
                    ? "its key is encrypted; expected KeyPasswordFile, or a key without a password"
                    : "its key cannot be decrypted with the password in KeyPasswordFile, or does not belong to it"
                : !key.Contains("PRIVATE KEY", StringComparison.Ordinal) ? "there is no PEM private key for it"
                : "the private key does not belong to it",
                e);
        }
    }

    private static (X509Certificate2 Certificate, X509Certificate2Collection Issuers) ReadPfx(CertificateText text)
    {
        if (text.Key is not null)
        {
            throw new CryptographicException("it is a PFX file, which has its key in it; expected no KeyFile");
        }
        try
        {
            var all = X509CertificateLoader.LoadPkcs12Collection(Encoding.Latin1.GetBytes(text.Certificate), text.Password);
            var own = all.FirstOrDefault(certificate => certificate.HasPrivateKey)
                ?? throw new CryptographicException("there is no private key in it");
            return (own, [.. all.Where(certificate => certificate != own)]);
        }
        catch (CryptographicException e) when (e.InnerException is not null || e is not { Message: "there is no private key in it" })
        {
            throw new CryptographicException(
                text.Password is null ? "it is no PFX file, or has a password; expected KeyPasswordFile"
                : "it is no PFX file, or its password is not the one in KeyPasswordFile",
                e);
        }
    }

    // A sequence of ASN.1 with a long length; PEM is ASCII.
    private static bool IsPfx(string text) => text is ['\x30', >= '\x80', ..];

    private static bool IsEncrypted(string pem) => pem.Contains("ENCRYPTED PRIVATE KEY", StringComparison.Ordinal)
        || pem.Contains("Proc-Type: 4,ENCRYPTED", StringComparison.Ordinal);
}
