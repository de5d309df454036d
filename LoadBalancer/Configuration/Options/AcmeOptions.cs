using System.Text;

namespace LoadBalancer.Configuration.Options;

/// <summary>Certificates that a listener gets by itself from an authority that speaks ACME (RFC 8555), by HTTP-01.</summary>
public sealed record AcmeOptions
{
    /// <summary>The address of the authority's directory, https. Default: Let's Encrypt.</summary>
    [Secret(IsQuery = true)]
    public string Directory { get; init; } = "https://acme-v02.api.letsencrypt.org/directory";

    /// <summary>The names; each gets a certificate of its own. No addresses and no wildcards. Required.</summary>
    public IReadOnlyList<string> Names { get; init; } = [];

    /// <summary>Whom the authority may write to. It is told only when the account is made. Default null: nobody.</summary>
    public string? Email { get; init; }

    /// <summary>Whether you accept the authority's terms of service. Must be true; default false.</summary>
    public bool AcceptTerms { get; init; }

    /// <summary>
    /// The directory for the key of the account, certificates, their keys, and when to try again; made where it is missing. Default acme.
    /// </summary>
    public string Store { get; init; } = "acme";

    /// <summary>
    /// A PEM file of the authorities to trust, instead of the system's, when speaking to the directory; for private ones. Default null.
    /// </summary>
    public string? AuthorityFile { get; init; }

    /// <summary>Where in the store the files of this directory are: two directories do not share an account.</summary>
    internal string Folder => Path.Combine(Store, FolderName(Directory));

    /// <summary>The names as they are in certificates, without doubles.</summary>
    internal IReadOnlyList<string> DnsNames => [.. Names.Select(DnsName.TryRead).OfType<string>().Distinct(StringComparer.Ordinal)];

    /// <summary>The file of a certificate, which has its issuers and its key too, so that all of them change at once.</summary>
    internal string FileOf(string name) => Path.Combine(Folder, name + ".pem");

    // The case of a path counts, and what cannot be in a file's name is written so that no two paths become one.
    private static string FolderName(string directory)
    {
        var text = Uri.TryCreate(directory, UriKind.Absolute, out var address)
            ? $"{address.Authority}{address.PathAndQuery}" : directory;
        var name = new StringBuilder();
        foreach (var c in text.TrimEnd('/'))
        {
            name.Append(char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? $"{c}" : c is '/' or ':' ? "_" : $"%{(int)c:X2}");
        }
        return name.ToString();
    }
}
