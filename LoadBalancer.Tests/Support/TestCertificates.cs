using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Support;

/// <summary>A certificate authority of a test's own, and what it issues, as PEM files in a folder that goes with it.</summary>
internal sealed class TestCertificates : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("certificates");
    private readonly X509Certificate2 _authority;
    private int _serial;

    public TestCertificates()
    {
        _authority = MakeAuthority("CN=Test Authority", null);
        AuthorityFile = Write("authority.pem", _authority.ExportCertificatePem());
    }

    /// <summary>The authority's certificate.</summary>
    public string AuthorityFile { get; }

    private static DateTimeOffset Yesterday => TimeProvider.System.GetUtcNow().AddDays(-1);

    /// <summary>
    /// Issues a certificate for these names (or addresses) and writes it and its key, over earlier ones of that file name.
    /// </summary>
    public CertificateOptions Issue(string file, params string[] names) => Issue(_authority, file, names);

    /// <summary>As <see cref="Issue(string, string[])"/>, with an RSA key.</summary>
    public CertificateOptions IssueRsa(string file, params string[] names)
    {
        using var key = RSA.Create(2048);
        return Issue(
            _authority, file, new CertificateRequest(SubjectOf(names), key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1),
            key, names, Yesterday.AddMonths(6));
    }

    /// <summary>As <see cref="Issue(string, string[])"/>, valid until some time.</summary>
    public CertificateOptions IssueUntil(DateTimeOffset end, string file, params string[] names) => Issue(_authority, file, names, end);

    /// <summary>As <see cref="Issue(string, string[])"/>, valid from some time on.</summary>
    public CertificateOptions IssueFrom(DateTimeOffset begin, string file, params string[] names) =>
        Issue(_authority, file, names, begin.AddMonths(1), begin);

    /// <summary>The same certificate with its key and the authority in a PFX file.</summary>
    public CertificateOptions AsPfx(CertificateOptions certificate, string? password)
    {
        using var own = X509Certificate2.CreateFromPemFile(certificate.File, certificate.KeyFile);
        var all = new X509Certificate2Collection { own, X509CertificateLoader.LoadCertificate(_authority.RawData) };
        var file = Path.ChangeExtension(certificate.File, ".pfx");
        File.WriteAllBytes(file, all.Export(X509ContentType.Pkcs12, password)!);
        return new CertificateOptions { File = file, KeyPasswordFile = password is null ? null : Write("password", password + "\n") };
    }

    /// <summary>The same certificate with an encrypted key.</summary>
    public CertificateOptions WithEncryptedKey(CertificateOptions certificate, string password)
    {
        using var key = ECDsa.Create();
        key.ImportFromPem(File.ReadAllText(certificate.KeyFile!));
        var parameters = new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000);
        return certificate with
        {
            KeyFile = Write("encrypted.key", key.ExportEncryptedPkcs8PrivateKeyPem(password, parameters)),
            KeyPasswordFile = Write("password", password + "\n"),
        };
    }

    /// <summary>Issues a certificate through an authority in between, whose own certificate follows in the file.</summary>
    public CertificateOptions IssueThroughIntermediate(string file, params string[] names)
    {
        using var intermediate = MakeAuthority("CN=Test Intermediate", _authority);
        var issued = Issue(intermediate, file, names);
        return issued with { File = Write(file + ".pem", File.ReadAllText(issued.File!) + "\n" + intermediate.ExportCertificatePem()) };
    }

    /// <summary>
    /// Issues a certificate through an authority in between, which is not in the file; the certificate says where to fetch it (RFC 5280
    /// section 4.2.2.1).
    /// </summary>
    public CertificateOptions IssueThroughAbsentIntermediate(string file, string address, params string[] names)
    {
        using var intermediate = MakeAuthority("CN=Test Intermediate", _authority);
        return Issue(intermediate, file, names, extension: new X509AuthorityInformationAccessExtension(null, [address]));
    }

    /// <summary>As <see cref="Issue(string, string[])"/>, a certificate that is for clients alone (RFC 5280 section 4.2.1.12).</summary>
    public CertificateOptions IssueForClients(string file, params string[] names) =>
        Issue(_authority, file, names, extension: new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.2")], critical: true));

    /// <summary>As <see cref="IssueForClients"/>, for servers alone.</summary>
    public CertificateOptions IssueForServers(string file, params string[] names) =>
        Issue(_authority, file, names, extension: new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: true));

    /// <summary>Writes any file beside the certificates.</summary>
    public string Write(string file, string text)
    {
        var path = Path.Combine(_folder.FullName, file);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose()
    {
        _authority.Dispose();
        _folder.Delete(recursive: true);
    }

    private X509Certificate2 MakeAuthority(string name, X509Certificate2? issuer)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        if (issuer is null)
        {
            return request.CreateSelfSigned(Yesterday, Yesterday.AddYears(1));
        }
        using var issued = request.Create(issuer, Yesterday, Yesterday.AddMonths(9), BitConverter.GetBytes(++_serial));
        return issued.CopyWithPrivateKey(key);
    }

    private static string SubjectOf(string[] names) => "CN=" + names[0].Trim('*', '.');

    private CertificateOptions Issue(
        X509Certificate2 issuer, string file, string[] names, DateTimeOffset? end = null, DateTimeOffset? begin = null,
        X509Extension? extension = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(SubjectOf(names), key, HashAlgorithmName.SHA256);
        if (extension is not null)
        {
            request.CertificateExtensions.Add(extension);
        }
        return Issue(issuer, file, request, key, names, end ?? Yesterday.AddMonths(6), begin);
    }

    private CertificateOptions Issue(
        X509Certificate2 issuer, string file, CertificateRequest request, AsymmetricAlgorithm key, string[] names, DateTimeOffset end,
        DateTimeOffset? begin = null)
    {
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
        {
            if (IPAddress.TryParse(name, out var address))
            {
                alternatives.AddIpAddress(address);
            }
            else
            {
                alternatives.AddDnsName(name);
            }
        }
        request.CertificateExtensions.Add(alternatives.Build());
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(issuer, true, false));
        begin ??= end < Yesterday ? end.AddDays(-1) : Yesterday;
        var generator = issuer.GetECDsaPrivateKey()!;
        using var certificate = request.Create(
            issuer.SubjectName, X509SignatureGenerator.CreateForECDsa(generator), begin.Value, end, BitConverter.GetBytes(++_serial));
        return new CertificateOptions
        {
            File = Write(file + ".pem", certificate.ExportCertificatePem()),
            KeyFile = Write(file + ".key", key.ExportPkcs8PrivateKeyPem()),
        };
    }
}
