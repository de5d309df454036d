using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace LoadBalancer.Acme;

/// <summary>When a certificate is to be renewed: the same time after each restart, and another one for each certificate.</summary>
internal static class RenewalTime
{
    private const double Share = 2.0 / 3; // of its lifetime
    private const double Spread = 0.05; // of that, in both directions

    // What an authority wishes cannot let a certificate expire: then there is still time for some tries.
    private const double LatestShare = 0.9;

    /// <summary>After two thirds of its lifetime, more or less; or within what the authority wishes.</summary>
    /// <param name="certificate">The certificate.</param>
    /// <param name="wish">What the authority wishes; null where it has not said so.</param>
    public static DateTimeOffset Of(X509Certificate2 certificate, RenewalInformation? wish)
    {
        var place = PlaceOf(certificate.RawData);
        DateTimeOffset begin = certificate.NotBefore.ToUniversalTime();
        DateTimeOffset end = certificate.NotAfter.ToUniversalTime();
        if (wish is null)
        {
            return begin + (end - begin) * (Share * (1 - Spread + 2 * Spread * place));
        }
        var wished = wish.Start + (wish.End - wish.Start) * place; // RFC 9773 section 4.2: a random time in its window
        var latest = begin + (end - begin) * LatestShare;
        return wished < latest ? wished : latest;
    }

    /// <summary>Of a name: from 0 to 1, and as good as random, so that names that begin together do not go on together.</summary>
    public static double PlaceOf(string name) => PlaceOf(Encoding.ASCII.GetBytes(name));

    /// <summary>Of data: from 0 to 1, and as good as random, because the hash is.</summary>
    public static double PlaceOf(byte[] data) => BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData(data)) / (double)uint.MaxValue;
}
