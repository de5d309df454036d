using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks how TLS ends at a listener.</summary>
internal static class TlsValidator
{
    /// <summary>Requires certificates where an address says https, and none where it does not; then as the other one.</summary>
    public static void Check(EndpointAddress? address, ITlsOptions tls, SectionValidator section)
    {
        var isTls = address?.Scheme == "https";
        section.Require(!isTls || tls.HasCertificates, "Certificates",
            $"is missing; an https listener needs at least one {{ \"File\": …, \"KeyFile\": … }}{OrAcme(tls)}");
        section.Require(isTls || tls.Certificates.Count == 0 || address is null, "Certificates",
            $"is of no use for '{address}'; expected an Address with https://");
        section.Require(isTls || tls.Acme is null || address is null, "Acme",
            $"is of no use for '{address}'; expected an Address with https://");
        Check(tls, section);
    }

    /// <summary>Requires certificates and settings that can be used, and warns of certificates that clients will not accept now.</summary>
    public static void Check(ITlsOptions tls, SectionValidator section)
    {
        foreach (var (i, certificate) in tls.Certificates.Index())
        {
            CheckCertificate(certificate, $"Certificates:{i}", section);
        }
        var isUsed = tls.HasCertificates;
        section.Require(isUsed || tls.MinProtocol == TlsVersion.Tls12, "MinProtocol", $"is of no use without Certificates{OrAcme(tls)}");
        section.Require(isUsed || tls.Ciphers.Count == 0, "Ciphers", $"is of no use without Certificates{OrAcme(tls)}");
        foreach (var (i, name) in tls.Ciphers.Index())
        {
            var key = tls.Ciphers.Count == 1 ? "Ciphers" : $"Ciphers:{i}";
            section.Require(CipherSuites.IsKnown(name, tls.Ciphers.Count == 1), key, CipherSuites.Expected(name));
        }
        section.Require(tls.MinProtocol == TlsVersion.Tls12 || CipherSuites.HasTls13(tls.Ciphers), "Ciphers",
            "has no cipher suite of TLS 1.3, and MinProtocol allows no other version; expected Modern, or names such as "
            + "TLS_AES_128_GCM_SHA256");
        section.Require(isUsed || tls.ClientCertificates is null, "ClientCertificates", $"is of no use without Certificates{OrAcme(tls)}");
        CheckAuthorities(tls.ClientCertificates, section);
        section.Require(!OperatingSystem.IsWindows() || tls.Ciphers is [] or ["Modern"], "Ciphers",
            "cannot be set for one program on Windows; expected Modern, or the system's settings");
    }

    // The management listener has files only.
    private static string OrAcme(ITlsOptions tls) => tls is ManagementOptions ? "" : " or Acme";

    private static void CheckAuthorities(ClientCertificateOptions? clients, SectionValidator section)
    {
        const string Key = "ClientCertificates:AuthorityFile";
        section.Require(clients is null or { AuthorityFile: not null }, Key,
            "is missing; expected a PEM file of the authorities that issue the clients' certificates");
        if (clients?.AuthorityFile is not { } file)
        {
            return;
        }
        var error = PemCertificate.FindAuthorityError(file, out var root);
        section.Require(error is null, Key, $"'{file}' cannot be used: {error}");
        if (error is null && root is null)
        {
            section.Warn(Key, $"'{file}' has no root (a certificate that is its own issuer); without it no client is accepted");
        }
        else if (root?.Fault(TimeProvider.System.GetUtcNow()) is { } fault)
        {
            section.Warn(Key, $"the root in '{file}' {fault}; no client is accepted");
        }
    }

    private static void CheckCertificate(CertificateOptions certificate, string key, SectionValidator section)
    {
        section.Require(certificate.File is not null, $"{key}:File", "is missing; expected a PEM or PFX file");
        if (certificate.File is null)
        {
            return;
        }
        var error = ServerCertificate.FindError(certificate, out var validity);
        section.Require(error is null, $"{key}:File", $"'{certificate.File}' cannot be used: {error}");
        if (validity?.Fault(TimeProvider.System.GetUtcNow()) is { } fault)
        {
            section.Warn($"{key}:File", $"'{certificate.File}' {fault}; clients refuse it");
        }
    }
}
