using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>
/// Chooses a certificate by the name that a client asks for (SNI): the one with that name, else the one with a wildcard for it, else the
/// first. A wildcard covers one label (RFC 6125 section 6.4.3): *.example.com is a.example.com, not a.b.example.com. Of several with the
/// name a client gets one whose key it can verify; of those ECDSA, which costs less, before RSA, else the first. Immutable.
/// </summary>
internal sealed class CertificateSelector
{
    private readonly Choice[] _default;
    private readonly Dictionary<string, Choice[]> _byName;

    /// <summary>Makes a choice among certificates.</summary>
    /// <param name="certificates">The certificates; at least one.</param>
    /// <param name="settings">What else is offered to clients.</param>
    /// <param name="first">The one of them for clients that ask for no name, or for another one; null: the first.</param>
    public CertificateSelector(
        IReadOnlyList<SslStreamCertificateContext> certificates, TlsSettings settings, SslStreamCertificateContext? first = null)
    {
        var choices =
            from certificate in certificates
            let choice = new Choice(
                KeyOf(certificate.TargetCertificate), settings.For(certificate, isTls13: true), settings.For(certificate, isTls13: false))
            from name in NamesOf(certificate.TargetCertificate)
            select (name, choice);
        _byName = choices.GroupBy(entry => entry.name, entry => entry.choice, StringComparer.OrdinalIgnoreCase).ToDictionary(
            group => group.Key, group => group.OrderByDescending(choice => (choice.Key & VerifiableKeys.Ecdsa) != 0).ToArray(),
            StringComparer.OrdinalIgnoreCase);
        // By name here too: the first certificate may have a twin with another key.
        _default = _byName[NamesOf((first ?? certificates[0]).TargetCertificate)[0]];
    }

    /// <summary>What to answer to a client.</summary>
    public SslServerAuthenticationOptions Select(in ClientHello hello)
    {
        var choices = Find(hello.ServerName);
        foreach (var choice in choices)
        {
            if ((choice.Key & hello.Keys) != 0)
            {
                return choice.For(hello);
            }
        }
        return choices[0].For(hello);
    }

    private Choice[] Find(string? serverName)
    {
        if (serverName is null)
        {
            return _default;
        }
        var name = Ascii(serverName);
        var dot = name.IndexOf('.', StringComparison.Ordinal);
        return _byName.TryGetValue(name, out var exact) ? exact
            : dot > 0 && _byName.TryGetValue("*" + name[dot..], out var wildcard) ? wildcard
            : _default;
    }

    // The subject's common name counts only where there is no list of names, as in old certificates.
    private static List<string> NamesOf(X509Certificate2 certificate)
    {
        var lists = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>();
        var names = lists.SelectMany(list => list.EnumerateDnsNames()).Select(Ascii).ToList();
        return names.Count > 0 ? names : [Ascii(certificate.GetNameInfo(X509NameType.DnsName, forIssuer: false))];
    }

    // Clients and certificates have international names in A-labels (RFC 5890 section 2.3.2.1); some, against the rules, in Unicode.
    private static string Ascii(string name)
    {
        try
        {
            return System.Text.Ascii.IsValid(name) ? name : new IdnMapping().GetAscii(name.ToLowerInvariant());
        }
        catch (ArgumentException)
        {
            return name; // It is no name that a client could ask for.
        }
    }

    private static VerifiableKeys KeyOf(X509Certificate2 certificate)
    {
        using var rsa = certificate.GetRSAPublicKey();
        using var ecdsa = certificate.GetECDsaPublicKey();
        return rsa is not null ? VerifiableKeys.Rsa
            : ecdsa?.KeySize switch
            {
                256 => VerifiableKeys.P256,
                384 => VerifiableKeys.P384,
                521 => VerifiableKeys.P521,
                _ => VerifiableKeys.None,
            };
    }

    private sealed record Choice(VerifiableKeys Key, SslServerAuthenticationOptions Tls13, SslServerAuthenticationOptions Others)
    {
        public SslServerAuthenticationOptions For(in ClientHello hello) => hello.IsTls13 ? Tls13 : Others;
    }
}
