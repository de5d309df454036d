using System.Text;
using Microsoft.IdentityModel.Tokens;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>The keys of a JSON Web Key Set (RFC 7517), each with the one algorithm that its signatures may have.</summary>
/// <param name="All">The keys and their algorithms.</param>
internal sealed record JwtKeys(IReadOnlyList<(JsonWebKey Key, string Algorithm)> All)
{
    private static readonly string[] Rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

    /// <summary>Reads a set. Keys for encryption, and those of kinds that are not supported, do not count (RFC 7517 section 5).</summary>
    /// <exception cref="FormatException">It is not valid, or has no key that counts; the message says why.</exception>
    public static JwtKeys Parse(byte[] json)
    {
        JsonWebKeySet set;
        try
        {
            set = new JsonWebKeySet(Encoding.UTF8.GetString(json));
        }
        catch (Exception e) when (e is ArgumentException or System.Text.Json.JsonException)
        {
            throw new FormatException("it is not a JSON Web Key Set", e);
        }
        var keys = new List<(JsonWebKey, string)>();
        FormatException? error = null;
        foreach (var key in set.Keys.Where(key => key.Use is null or "" or "sig"))
        {
            try
            {
                keys.Add((key, AlgorithmOf(key)));
            }
            catch (FormatException e)
            {
                error ??= e;
            }
        }
        return keys.Count > 0 ? new JwtKeys(keys) : throw error ?? new FormatException("it has no key for signatures");
    }

    /// <summary>The key of a token; null where there is none.</summary>
    /// <param name="id">The token's <c>kid</c>. A token without one is taken only where there is one key.</param>
    public (JsonWebKey Key, string Algorithm)? Find(string? id) =>
        string.IsNullOrEmpty(id) ? All is [var only] ? only : null
        : All.Where(entry => entry.Key.Kid == id).Select(entry => ((JsonWebKey, string)?)entry).FirstOrDefault();

    private static bool IsWhole(JsonWebKey key)
    {
        try
        {
            return JsonWebKeyConverter.TryConvertToSecurityKey(key, out var usable) && usable is RsaSecurityKey or ECDsaSecurityKey;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or System.Security.Cryptography.CryptographicException)
        {
            return false;
        }
    }

    // The key decides, and never the token: else a public key could be taken for a secret.
    private static string AlgorithmOf(JsonWebKey key)
    {
        var ofType = key switch
        {
            { Kty: "RSA" } => "RS256",
            { Kty: "EC", Crv: "P-256" } => "ES256",
            { Kty: "EC", Crv: "P-384" } => "ES384",
            { Kty: "EC", Crv: "P-521" } => "ES512",
            _ => throw new FormatException($"the key '{key.Kid}' is neither an RSA key nor one of P-256, P-384 or P-521"),
        };
        if (!IsWhole(key))
        {
            throw new FormatException($"the key '{key.Kid}' has not all that a key of its type needs");
        }
        var algorithm = string.IsNullOrEmpty(key.Alg) ? ofType : key.Alg;
        return algorithm == ofType || key.Kty == "RSA" && Rsa.Contains(algorithm) ? algorithm
            : throw new FormatException($"the key '{key.Kid}' has the algorithm '{algorithm}', which does not fit its type");
    }
}
