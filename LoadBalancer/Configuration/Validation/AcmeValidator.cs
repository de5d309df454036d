using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks how certificates are got.</summary>
internal static class AcmeValidator
{
    private const int HttpPort = 80; // RFC 8555 section 8.3
    private const int LongestName = 250; // Files have 255 characters at most, and those of a name end in .json.

    /// <summary>Requires all that must hold, and warns where the authority can hardly ask.</summary>
    public static void Check(AcmeOptions? acme, LoadBalancerOptions all, SectionValidator section)
    {
        if (acme is null)
        {
            return;
        }
        CheckDirectory(acme, section.Below("Acme"));
        CheckNames(acme.Names, section.Below("Acme"));
        CheckReachable(acme, all, section);
    }

    private static void CheckDirectory(AcmeOptions acme, SectionValidator section)
    {
        section.Require(IsAddress(acme.Directory), "Directory",
            $"'{acme.Directory}' is not valid; expected the address of an ACME directory, for example "
            + "https://acme-v02.api.letsencrypt.org/directory");
        section.Require(acme.AcceptTerms, "AcceptTerms",
            "must be true: read the terms of service of the authority, and accept them with it");
        section.Require(acme.Email is null || IsMail(acme.Email), "Email",
            $"'{acme.Email}' is not valid; expected for example ops@example.com");
        section.Require(acme.Store.Length > 0, "Store", "is empty; expected a directory");
        section.Require(!File.Exists(acme.Store), "Store", $"'{acme.Store}' is a file; expected a directory");
        if (acme.Store.Length > 0 && FindStoreError(acme.Store) is { } reason)
        {
            section.Warn("Store", $"'{Path.GetFullPath(acme.Store)}' cannot be written: {reason}. Nothing is ordered until it can be");
        }
        if (acme.AuthorityFile is { } file)
        {
            var error = PemCertificate.FindAuthorityError(file);
            section.Require(error is null, "AuthorityFile", $"'{file}' cannot be used: {error}");
        }
    }

    private static void CheckNames(IReadOnlyList<string> names, SectionValidator section)
    {
        section.Require(names.Count > 0, "Names", "is missing; expected names such as shop.example.com");
        var seen = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (i, text) in names.Index())
        {
            var key = names.Count == 1 ? "Names" : $"Names:{i}";
            var name = DnsName.TryRead(text);
            section.Require(!text.Contains('*', StringComparison.Ordinal), key,
                $"'{text}' is a wildcard, which HTTP-01 cannot prove; expected a name such as shop.example.com, or a file in Certificates");
            section.Require(!IPAddress.TryParse(text.Trim('[', ']'), out _), key, $"'{text}' is an address; expected a name");
            section.Require(name is not null, key, $"'{text}' is not a name; expected for example shop.example.com");
            section.Require(name is not { Length: > LongestName }, key,
                $"'{text}' has more than {LongestName} characters, which the store cannot have");
            var first = name is null ? null : seen.GetValueOrDefault(name);
            section.Require(first is null, key, $"'{text}' is there already, as '{first}'");
            seen.TryAdd(name ?? text, text);
        }
    }

    // A port may be forwarded to another one, and a private authority may ask elsewhere: so it is only a warning.
    private static void CheckReachable(AcmeOptions acme, LoadBalancerOptions all, SectionValidator section)
    {
        var plain = all.Listeners.Values.OfType<HttpListenerOptions>().Select(listener => listener.Address).OfType<EndpointAddress>()
            .Where(address => address.Scheme != "https").ToList();
        var isLocal = Uri.TryCreate(acme.Directory, UriKind.Absolute, out var directory) && directory.IsLoopback;
        if (plain.Count == 0)
        {
            section.Warn("Acme", "no listener has an Address with http://; without one on port 80 the authority cannot see that the names "
                + "are of this node");
        }
        else if (!isLocal && !plain.Exists(address => address.IsUnix || address.Port == HttpPort))
        {
            section.Warn("Acme", "no http:// listener has port 80, where the authority asks; it must be forwarded to one of "
                + string.Join(", ", plain));
        }
    }

    // What is there of the path is tried, because rights alone do not say what is mounted read-only. Nothing is left behind.
    private static string? FindStoreError(string store)
    {
        try
        {
            var folder = Path.GetFullPath(store);
            while (!Directory.Exists(folder) && Path.GetDirectoryName(folder) is { } parent)
            {
                folder = parent;
            }
            var file = Path.Combine(folder, Path.GetRandomFileName());
            File.Create(file, bufferSize: 1, FileOptions.DeleteOnClose).Dispose();
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            return e.Message;
        }
    }

    // RFC 8555 section 6.1: always https.
    private static bool IsAddress(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme == "https" && address.UserInfo.Length == 0;

    private static bool IsMail(string text)
    {
        var at = text.IndexOf('@', StringComparison.Ordinal);
        return at > 0 && at < text.Length - 1 && !text.Any(c => c <= ' ' || c is ',' or '?' or '&' || c > '~');
    }
}
