using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;

namespace Site;

/// <summary>
/// Makes what the tour needs and nobody may know: an authority and certificates for two names, for another authority and for a client, a
/// signing key with a token, and a password file. Everything is new each time, and good for 90 days.
/// </summary>
internal static class TourSecrets
{
    private const string Issuer = "https://id.localhost";

    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();

    /// <summary>Writes all files.</summary>
    /// <param name="folder">Where to; it is made where it does not exist.</param>
    public static void Write(string folder)
    {
        Directory.CreateDirectory(folder);
        using var authority = Authority();
        File.WriteAllText(Path.Combine(folder, "ca.pem"), authority.ExportCertificatePem());
        WriteCertificate(folder, "shop", authority, "shop.localhost");
        WriteCertificate(folder, "admin", authority, "admin.localhost");
        WriteCertificate(folder, "pebble", authority, "localhost");
        WriteCertificate(folder, "anna", authority, null);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(Path.Combine(folder, "jwks.json"), Jwks(key));
        File.WriteAllText(Path.Combine(folder, "token"), Token(key));
        File.WriteAllText(Path.Combine(folder, "users.htpasswd"), $"anna:{BCrypt.Net.BCrypt.HashPassword("tour", workFactor: 10)}\n");
    }

    private static X509Certificate2 Authority()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Authority of the tour", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        return request.CreateSelfSigned(Now.AddMinutes(-5), Now.AddDays(90));
    }

    // A server's certificate for a host, or a client's that says its name. The key is in the same file.
    private static void WriteCertificate(string folder, string name, X509Certificate2 authority, string? host)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [host is null ? new Oid("1.3.6.1.5.5.7.3.2", "clientAuth") : new Oid("1.3.6.1.5.5.7.3.1", "serverAuth")], critical: false));
        if (host is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            names.AddIpAddress(IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
        }
        using var certificate = request.Create(authority, authority.NotBefore, authority.NotAfter, RandomNumberGenerator.GetBytes(8));
        File.WriteAllText(
            Path.Combine(folder, name + ".pem"), $"{certificate.ExportCertificatePem()}\n{key.ExportPkcs8PrivateKeyPem()}\n");
    }

    private static string Jwks(ECDsa key)
    {
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        return JsonSerializer.Serialize(new
        {
            keys = new[]
            {
                new
                {
                    kty = "EC", kid = "tour", alg = "ES256", use = "sig", crv = "P-256",
                    x = Base64Url.EncodeToString(point.X), y = Base64Url.EncodeToString(point.Y),
                },
            },
        });
    }

    private static string Token(ECDsa key)
    {
        var expiry = Now.AddDays(90).ToUnixTimeSeconds();
        var text = Part(new { alg = "ES256", typ = "JWT", kid = "tour" }) + "."
            + Part(new { iss = Issuer, aud = "api", sub = "partner-7", exp = expiry });
        return text + "." + Base64Url.EncodeToString(key.SignData(System.Text.Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256));
    }

    private static string Part<T>(T value) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(value));
}
