using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Acme;

/// <summary>A file of the store that all nodes of a cluster have, and its key in etcd.</summary>
/// <param name="Options">The store.</param>
/// <param name="File">The file.</param>
/// <param name="Host">Whose certificate or attempt it is; null for the account's key.</param>
internal sealed record SharedFile(AcmeOptions Options, string File, string? Host)
{
    /// <summary>All files of a store.</summary>
    public static IEnumerable<SharedFile> All(AcmeOptions options) =>
        [Account(options), .. options.DnsNames.SelectMany(name => new[] { Certificate(options, name), Attempt(options, name) })];

    /// <summary>The file of the account's key.</summary>
    public static SharedFile Account(AcmeOptions options) => new(options, AcmeStore.AccountFileOf(options), null);

    /// <summary>The file of a certificate.</summary>
    public static SharedFile Certificate(AcmeOptions options, string name) => new(options, options.FileOf(name), name);

    /// <summary>The file of the last attempt.</summary>
    public static SharedFile Attempt(AcmeOptions options, string name) => new(options, AcmeStore.AttemptFileOf(options, name), name);

    /// <summary>The name of the key in etcd, below that of all files. Nodes may have their stores in different places.</summary>
    public string Key => $"{Path.GetFileName(Options.Folder)}/{Path.GetFileName(File)}";

    /// <summary>
    /// Whether what this node has holds, and not what etcd has: it was changed here, or it is newer where nobody knows who has changed it,
    /// because this process has just begun or etcd was restored. What another node has changed holds, also if its clock is behind.
    /// </summary>
    /// <param name="own">What this node has.</param>
    /// <param name="others">What etcd has; null for nothing.</param>
    /// <param name="before">What both had before; null where that is not known.</param>
    /// <param name="now">The time of day.</param>
    public bool IsOwn(string own, string? others, string? before, DateTimeOffset now) =>
        TimeOf(own, now) is { } ownTime
        && (others is null || (own != before && (others == before || !(TimeOf(others, now) >= ownTime))));

    /// <summary>Writes what another node has made.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public void TakeUp(string text) => new AcmeStore(Options).TakeUp(File, text);

    // Null: it cannot be used.
    private DateTimeOffset? TimeOf(string text, DateTimeOffset now)
    {
        try
        {
            if (Host is null)
            {
                using var key = AccountKey.Read(text);
                return DateTimeOffset.MinValue; // None is newer than another one.
            }
            if (File == AcmeStore.AttemptFileOf(Options, Host))
            {
                // One of a wrong clock must not hold for ever.
                return Acme.Attempt.Read(text) is not { } attempt ? null
                    : attempt.IsOfWrongClock(now) ? DateTimeOffset.MinValue : attempt.At;
            }
            using var certificate = X509Certificate2.CreateFromPem(text, text);
            return certificate.MatchesHostname(Host) ? certificate.NotBefore.ToUniversalTime() : null;
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            return null;
        }
    }
}
