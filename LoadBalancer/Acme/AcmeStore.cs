using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// The files of one directory in the store: <c>account.key</c>, and for each name <c>NAME.pem</c> (certificate, issuers and key, in one
/// file so that all change at once) and <c>NAME.json</c> (the last attempt). Only the user of this process can read them. Each is written
/// beside its place, flushed to the disk and renamed, so that a crash leaves the old one or the new one.
/// </summary>
internal sealed class AcmeStore(AcmeOptions options)
{
    private const UnixFileMode OfFiles = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode OfFolders = OfFiles | UnixFileMode.UserExecute;

    private static readonly Lock Gate = new(); // guards the making of accounts

    /// <summary>Whether an exception says that the store cannot be used.</summary>
    public static bool IsFault(Exception e) =>
        e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException or CryptographicException;

    /// <summary>The account's key; a new one where there is none, or none that can be used.</summary>
    /// <param name="fault">Why the file that was there cannot be used; null where that is not so.</param>
    /// <exception cref="IOException">It cannot be read or written. Others for files are possible too.</exception>
    public AccountKey OpenAccountKey(out string? fault)
    {
        fault = null;
        var file = Path.Combine(options.Folder, "account.key");
        lock (Gate)
        {
            if (File.Exists(file))
            {
                var text = File.ReadAllText(file);
                try
                {
                    return AccountKey.Read(text);
                }
                catch (Exception e) when (e is CryptographicException or ArgumentException)
                {
                    fault = $"'{file}' has no key: {e.Message}";
                }
            }
            return NewAccountKeyNeedsLock(file);
        }
    }

    /// <summary>Makes another key for an account; the old one stays beside it as <c>account.key.old</c>.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public AccountKey ReplaceAccountKey()
    {
        var file = Path.Combine(options.Folder, "account.key");
        lock (Gate)
        {
            File.Copy(file, file + ".old", overwrite: true);
            return NewAccountKeyNeedsLock(file);
        }
    }

    /// <summary>The certificate of a name; null where there is none that can be used.</summary>
    /// <param name="name">The name.</param>
    /// <param name="fault">Why the file that is there cannot be used; null where that is not so.</param>
    public X509Certificate2? Find(string name, out string? fault)
    {
        fault = null;
        var file = options.FileOf(name);
        try
        {
            if (!File.Exists(file))
            {
                return null;
            }
            using var withKey = X509Certificate2.CreateFromPemFile(file); // fails where the key is missing, or is that of another one
            if (withKey.MatchesHostname(name))
            {
                return X509CertificateLoader.LoadCertificate(withKey.RawData);
            }
            fault = $"'{file}' is not for '{name}'";
        }
        catch (Exception e) when (IsFault(e))
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

    /// <summary>The last attempt to get a certificate for a name.</summary>
    public Attempt LastAttempt(string name)
    {
        try
        {
            return Attempt.Read(File.ReadAllText(AttemptFile(name))) ?? Attempt.None;
        }
        catch (Exception e) when (IsFault(e))
        {
            return Attempt.None;
        }
    }

    /// <summary>Keeps the last attempt.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void Save(string name, Attempt attempt) => Write(AttemptFile(name), JsonText.Of(attempt.ToJson()) + "\n");

    private string AttemptFile(string name) => Path.ChangeExtension(options.FileOf(name), null) + ".json";

    private AccountKey NewAccountKeyNeedsLock(string file)
    {
        var key = AccountKey.Create();
        try
        {
            Write(file, key.Export());
            return key;
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    private void Write(string file, string text)
    {
        MakeFolder();
        var next = file + ".new";
        File.Delete(next); // A crash may have left it.
        var how = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            how.UnixCreateMode = OfFiles;
        }
        using (var stream = new FileStream(next, how))
        {
            stream.Write(Encoding.ASCII.GetBytes(text));
            stream.Flush(flushToDisk: true);
        }
        File.Move(next, file, overwrite: true);
    }

    private void MakeFolder()
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(options.Folder);
        }
        else
        {
            Directory.CreateDirectory(options.Folder, OfFolders);
        }
    }
}
