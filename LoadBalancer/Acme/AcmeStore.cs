using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Files;

namespace LoadBalancer.Acme;

/// <summary>
/// The files of one directory in the store: <c>account.key</c>, and for each name <c>NAME.pem</c> (certificate, issuers and key, in one
/// file so that all change at once), <c>NAME.json</c> (the last attempt) and <c>NAME.lock</c> (empty; locked by the process that orders).
/// Only the user of this process can read them.
/// </summary>
internal sealed class AcmeStore(AcmeOptions options)
{
    private string AccountFile => AccountFileOf(options);

    /// <summary>The file of the account's key.</summary>
    public static string AccountFileOf(AcmeOptions options) => Path.Combine(options.Folder, "account.key");

    /// <summary>The file of the last attempt for a name.</summary>
    public static string AttemptFileOf(AcmeOptions options, string name) => Path.Combine(options.Folder, name + ".json");

    /// <summary>Whether an exception says that the store cannot be used.</summary>
    public static bool IsFault(Exception e) =>
        e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException or CryptographicException;

    /// <summary>The account's key; null where there is none, or none that can be used.</summary>
    /// <param name="fault">Why the file that is there has no key; null where that is not so.</param>
    /// <exception cref="IOException">It cannot be read. Others for files are possible too.</exception>
    public AccountKey? FindAccountKey(out string? fault)
    {
        fault = null;
        try
        {
            return TryRead(AccountFile) is { } text ? AccountKey.Read(text) : null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            fault = $"'{AccountFile}' has no key: {e.Message}";
            return null;
        }
    }

    /// <summary>Keeps an account's key. One that is there stays beside it, as <c>account.key.old</c>, <c>account.key.old2</c> …</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void Save(AccountKey key) => TakeUp(AccountFile, key.Export());

    /// <summary>Writes a file as another node of the cluster has it.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void TakeUp(string file, string text)
    {
        if (file == AccountFile && TryRead(file) is { } old)
        {
            var kept = file + ".old";
            for (var number = 2; File.Exists(kept); number++)
            {
                kept = $"{file}.old{number}";
            }
            Write(kept, old);
        }
        Write(file, text);
    }

    /// <summary>The certificate of a name; null where there is none that can be used.</summary>
    /// <param name="name">The name.</param>
    /// <param name="fault">Why what is in the file cannot be used; null where that is not so.</param>
    /// <exception cref="IOException">It cannot be read: nobody knows what is in it. Others for files are possible too.</exception>
    public X509Certificate2? Find(string name, out string? fault)
    {
        fault = null;
        var file = options.FileOf(name);
        if (TryRead(file) is not { } text)
        {
            return null;
        }
        try
        {
            using var withKey = X509Certificate2.CreateFromPem(text, text); // fails where the key is missing, or is that of another one
            if (withKey.MatchesHostname(name))
            {
                return X509CertificateLoader.LoadCertificate(withKey.RawData);
            }
            fault = $"'{file}' is not for '{name}'";
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            fault = $"'{file}' cannot be used: {e.Message}";
        }
        return null;
    }

    /// <summary>Keeps a certificate, its issuers and its key.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void Save(string name, X509Certificate2Collection chain, ECDsa key)
    {
        var text = new StringBuilder();
        foreach (var certificate in chain)
        {
            text.Append(certificate.ExportCertificatePem()).Append('\n');
        }
        text.Append(key.ExportPkcs8PrivateKeyPem()).Append('\n');
        Write(options.FileOf(name), text.ToString());
    }

    /// <summary>Keeps other processes from ordering a name into this store, until the result is disposed of or this process ends.</summary>
    /// <returns>Null where another process orders it.</returns>
    /// <exception cref="IOException">The store cannot be written. Others for files are possible too.</exception>
    public IDisposable? TryClaim(string name) => PrivateFile.TryLock(Path.Combine(options.Folder, name + ".lock"));

    /// <summary>The last attempt to get a certificate for a name.</summary>
    /// <exception cref="IOException">It cannot be read: nobody knows how long to wait. Others for files are possible too.</exception>
    public Attempt LastAttempt(string name) =>
        TryRead(AttemptFileOf(options, name)) is { } text && Attempt.Read(text) is { } attempt ? attempt : Attempt.None;

    /// <summary>Keeps the last attempt.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void Save(string name, Attempt attempt) => Write(AttemptFileOf(options, name), attempt.ToText());

    /// <summary>
    /// What is in a file; null only where there is no such file: one that cannot be read now may be the best that there is.
    /// </summary>
    /// <exception cref="IOException">It cannot be read. Others for files are possible too.</exception>
    public static string? TryRead(string file)
    {
        try
        {
            var text = File.ReadAllText(file);
            Protect(file);
            return text;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    // One that was copied here may be readable for others.
    private static void Protect(string file)
    {
        if (OperatingSystem.IsWindows() || (File.GetUnixFileMode(file) & ~PrivateFile.Mode) == 0)
        {
            return;
        }
        try
        {
            File.SetUnixFileMode(file, PrivateFile.Mode);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It belongs to somebody else, who has decided so. It is the user's own when it is written next.
        }
    }

    private static void Write(string file, string text) => PrivateFile.Write(file, Encoding.ASCII.GetBytes(text));
}
