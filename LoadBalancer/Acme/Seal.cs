using System.Security.Cryptography;
using System.Text;

namespace LoadBalancer.Acme;

/// <summary>
/// Encrypts what nodes share in etcd (AES-256-GCM), so that etcd has no private key in plain text. The key is derived from a secret that
/// all nodes have (HKDF, RFC 5869). A value can be read only at the name for which it was written. Thread-safe.
/// </summary>
internal sealed class Seal
{
    private const string Version = "1."; // of all that follows
    private const int KeyLength = 32;
    private const int NonceLength = 12;
    private const int TagLength = 16;

    private readonly byte[] _key;

    /// <summary>Derives the key.</summary>
    /// <param name="secret">The secret.</param>
    /// <param name="cluster">The name of the cluster: the same secret in another one is another key.</param>
    public Seal(string secret, string cluster) => _key = HKDF.DeriveKey(
        HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(secret), KeyLength, Encoding.UTF8.GetBytes(cluster),
        "LoadBalancer ACME"u8.ToArray());

    /// <summary>Encrypts a text for a name.</summary>
    public string Close(string name, string text)
    {
        var plain = Encoding.UTF8.GetBytes(text);
        var value = new byte[NonceLength + plain.Length + TagLength];
        var nonce = value.AsSpan(0, NonceLength);
        var rest = value.AsSpan(NonceLength);
        RandomNumberGenerator.Fill(nonce);
        using var cipher = new AesGcm(_key, TagLength);
        cipher.Encrypt(nonce, plain, rest[..plain.Length], rest[plain.Length..], Encoding.UTF8.GetBytes(name));
        return Version + Convert.ToBase64String(value);
    }

    /// <summary>Decrypts it; null where it was not encrypted for this name with this key.</summary>
    public string? TryOpen(string name, string sealedText)
    {
        if (!sealedText.StartsWith(Version, StringComparison.Ordinal))
        {
            return null;
        }
        try
        {
            var value = Convert.FromBase64String(sealedText[Version.Length..]);
            if (value.Length < NonceLength + TagLength)
            {
                return null;
            }
            var plain = new byte[value.Length - NonceLength - TagLength];
            var nonce = value.AsSpan(0, NonceLength);
            var rest = value.AsSpan(NonceLength);
            using var cipher = new AesGcm(_key, TagLength);
            cipher.Decrypt(nonce, rest[..plain.Length], rest[plain.Length..], plain, Encoding.UTF8.GetBytes(name));
            return Encoding.UTF8.GetString(plain);
        }
        catch (Exception e) when (e is FormatException or CryptographicException)
        {
            return null;
        }
    }
}
