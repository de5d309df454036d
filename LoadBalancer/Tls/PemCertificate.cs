using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>
/// A certificate as administrators keep it: PEM, the server's own first, its issuers after it, the key there too or in another file.
/// </summary>
public static class PemCertificate
{
    /// <summary>Reads a certificate with its issuers and its private key.</summary>
    /// <param name="certificatePem">The text of the certificate's file.</param>
    /// <param name="keyPem">The text of the key's file; null where the key is in the certificate's.</param>
    /// <returns>What a TLS handshake needs.</returns>
    /// <exception cref="CryptographicException">They are not PEM, or do not belong together; the message says so to the user.</exception>
    public static SslStreamCertificateContext Read(string certificatePem, string? keyPem)
    {
        var chain = new X509Certificate2Collection();
        X509Certificate2 certificate;
        try
        {
            chain.ImportFromPem(certificatePem);
            certificate = X509Certificate2.CreateFromPem(certificatePem, keyPem ?? certificatePem);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            var key = keyPem ?? certificatePem;
            throw new CryptographicException(
                chain.Count == 0 ? "there is no PEM certificate in it"
                : key.Contains("ENCRYPTED", StringComparison.Ordinal) ? "its key is encrypted; expected one without a password"
                : !key.Contains("PRIVATE KEY", StringComparison.Ordinal) ? "there is no PEM private key for it"
                : "the private key does not belong to it",
                e);
        }
        // Offline: what the file does not have is not fetched from the network either.
        return SslStreamCertificateContext.Create(certificate, chain, offline: true);
    }

    /// <summary>Reads the files of a certificate and its private key.</summary>
    /// <exception cref="CryptographicException">They are not PEM, or do not belong together.</exception>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    internal static SslStreamCertificateContext Read(CertificateOptions options) =>
        Read(File.ReadAllText(options.File), options.KeyFile is null ? null : File.ReadAllText(options.KeyFile));

    /// <summary>Reads certificates without keys: the authorities to trust.</summary>
    /// <param name="pem">The text of their file.</param>
    /// <exception cref="CryptographicException">There is none.</exception>
    public static X509Certificate2Collection ReadAuthorities(string pem)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(pem);
        return authorities.Count > 0 ? authorities : throw new CryptographicException("there is no PEM certificate in it");
    }

    /// <summary>What is wrong with a certificate's files, or null.</summary>
    internal static string? FindError(CertificateOptions options) => ErrorOf(() => Read(options));

    /// <summary>What is wrong with a file of authorities, or null.</summary>
    internal static string? FindAuthorityError(string file) => ErrorOf(() => ReadAuthorities(File.ReadAllText(file)));

    /// <summary>Whether an exception says that a file, or what is in it, cannot be used.</summary>
    internal static bool IsFileError(Exception e) =>
        e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException or NotSupportedException;

    /// <summary>The text of a file; null where it cannot be read.</summary>
    internal static string? TryRead(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (IsFileError(e))
        {
            return null;
        }
    }

    private static string? ErrorOf(Action read)
    {
        try
        {
            read();
            return null;
        }
        catch (Exception e) when (IsFileError(e))
        {
            return e is FileNotFoundException { FileName: var file } ? $"no such file: {file}" : e.Message;
        }
    }
}
