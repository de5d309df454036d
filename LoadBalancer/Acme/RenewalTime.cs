using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Acme;

/// <summary>When a certificate is to be renewed: the same time after each restart, and another one for each certificate.</summary>
internal static class RenewalTime
{
    private const double Share = 2.0 / 3; // of its lifetime
    private const double Spread = 0.05; // of that, in both directions

    /// <summary>After two thirds of its lifetime, more or less; or within what the authority wishes.</summary>
    /// <param name="certificate">The certificate.</param>
    /// <param name="wish">What the authority wishes; null where it has not said so.</param>
    public static DateTimeOffset Of(X509Certificate2 certificate, RenewalInformation? wish)
    {
        var place = PlaceOf(certificate);
        if (wish is not null)
        {
            return wish.Start + (wish.End - wish.Start) * place; // RFC 9773 section 4.2: a random time in its window
        }
        DateTimeOffset begin = certificate.NotBefore.ToUniversalTime();
        DateTimeOffset end = certificate.NotAfter.ToUniversalTime();
        return begin + (end - begin) * (Share * (1 - Spread + 2 * Spread * place));
    }

    // From 0 to 1, and as good as random, because the hash is.
    private static double PlaceOf(X509Certificate2 certificate) =>
        BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData(certificate.RawData)) / (double)uint.MaxValue;
}
