using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>Certificates of authorities, as administrators keep them: in a PEM file.</summary>
public static class PemCertificate
{
    /// <summary>Reads certificates without keys: the authorities to trust.</summary>
    /// <param name="pem">The text of their file.</param>
    /// <exception cref="CryptographicException">There is none.</exception>
    public static X509Certificate2Collection ReadAuthorities(string pem)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(pem);
        return authorities.Count > 0 ? authorities : throw new CryptographicException("there is no PEM certificate in it");
    }

    /// <summary>What is wrong with a file of authorities, or null.</summary>
    /// <param name="file">The file.</param>
    /// <param name="root">When the last of them is valid that is its own issuer, where a chain can end; null where none is.</param>
    internal static string? FindAuthorityError(string file, out Validity? root)
    {
        X509Certificate2Collection authorities = [];
        var error = ErrorOf(() => authorities = ReadAuthorities(File.ReadAllText(file)));
        root = authorities.Where(authority => authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData))
            .Select(Validity.Of).MaxBy(validity => validity.NotAfter);
        return error;
    }

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

    /// <summary>What is wrong with files that are read, in words for the user; null for nothing.</summary>
    internal static string? ErrorOf(Action read)
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
