using System.Globalization;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>
/// Chooses a certificate by the name that a client asks for (SNI): the one with that name, else the one with a wildcard for it, else the
/// first. A wildcard covers one label (RFC 6125 section 6.4.3): *.example.com is a.example.com, not a.b.example.com. Immutable.
/// </summary>
internal sealed class CertificateSelector
{
    private readonly SslServerAuthenticationOptions _default;
    private readonly Dictionary<string, SslServerAuthenticationOptions> _byName = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Makes a choice among certificates.</summary>
    /// <param name="certificates">The certificates; at least one.</param>
    /// <param name="protocols">What clients can negotiate (ALPN).</param>
    public CertificateSelector(IReadOnlyList<SslStreamCertificateContext> certificates, List<SslApplicationProtocol> protocols)
    {
        // One object for each certificate, not for each handshake: it carries the cache for resuming sessions.
        var options = certificates.Select(certificate => new SslServerAuthenticationOptions
        {
            ServerCertificateContext = certificate,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ApplicationProtocols = protocols,
        }).ToList();
        _default = options[0];
        foreach (var (certificate, answer) in certificates.Zip(options))
        {
            foreach (var name in Names(certificate.TargetCertificate))
            {
                // Of two certificates with a name the first counts. Certificates have international names in their ASCII form (RFC 5890
                // section 2.3.2.1); the framework hands on the name that a client asks for in its Unicode form.
                _byName.TryAdd(name, answer);
                _byName.TryAdd(Unicode(name), answer);
            }
        }
    }

    /// <summary>What to answer to a client that asks for this name, or for none.</summary>
    public SslServerAuthenticationOptions Select(string? serverName)
    {
        if (string.IsNullOrEmpty(serverName))
        {
            return _default;
        }
        var dot = serverName.IndexOf('.', StringComparison.Ordinal);
        return _byName.TryGetValue(serverName, out var exact) ? exact
            : dot > 0 && _byName.TryGetValue("*" + serverName[dot..], out var wildcard) ? wildcard
            : _default;
    }

    private static string Unicode(string name)
    {
        try
        {
            return new IdnMapping().GetUnicode(name);
        }
        catch (ArgumentException)
        {
            return name; // It is no name that a client could ask for.
        }
    }

    // The subject's common name counts only where there is no list of names, as in old certificates.
    private static List<string> Names(X509Certificate2 certificate)
    {
        var lists = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>();
        var names = lists.SelectMany(list => list.EnumerateDnsNames()).ToList();
        return names.Count > 0 ? names : [certificate.GetNameInfo(X509NameType.DnsName, forIssuer: false)];
    }
}
