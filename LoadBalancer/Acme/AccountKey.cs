using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>The key of an account: an elliptic curve key (P-256) that signs requests (RFC 7515, RFC 8555 section 6.2).</summary>
internal sealed class AccountKey : IDisposable
{
    private readonly ECDsa _key;
    private readonly string _thumbprint;

    private AccountKey(ECDsa key)
    {
        _key = key;
        _thumbprint = Base64Url.EncodeToString(SHA256.HashData(JsonText.Bytes(PublicKey())));
    }

    /// <summary>Makes a new one.</summary>
    public static AccountKey Create() => new(ECDsa.Create(ECCurve.NamedCurves.nistP256));

    /// <summary>Reads one.</summary>
    /// <exception cref="CryptographicException">It is none of this curve.</exception>
    /// <exception cref="ArgumentException">There is no key in the text.</exception>
    public static AccountKey Read(string pem)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(pem);
            return key.KeySize == 256 ? new AccountKey(key) : throw new CryptographicException("it is no key of the curve P-256");
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    /// <summary>As text.</summary>
    public string Export() => _key.ExportPkcs8PrivateKeyPem();

    /// <summary>What is answered to the authority's question for a token (RFC 8555 section 8.1).</summary>
    public string Authorize(string token) => $"{token}.{_thumbprint}";

    /// <summary>Signs a request.</summary>
    /// <param name="url">Where it goes.</param>
    /// <param name="nonce">The authority's nonce.</param>
    /// <param name="account">The address of the account; null where there is none yet: then the public key is sent.</param>
    /// <param name="payload">What is asked; null to read only (POST-as-GET, section 6.3).</param>
    public byte[] Sign(string url, string nonce, string? account, JsonObject? payload)
    {
        var header = new JsonObject { ["alg"] = "ES256", ["nonce"] = nonce, ["url"] = url };
        header[account is null ? "jwk" : "kid"] = account is null ? PublicKey() : account;
        var head = Base64Url.EncodeToString(JsonText.Bytes(header));
        var body = payload is null ? "" : Base64Url.EncodeToString(JsonText.Bytes(payload));
        var signature = _key.SignData(Encoding.ASCII.GetBytes($"{head}.{body}"), HashAlgorithmName.SHA256); // r and s, as RFC 7518 says
        return JsonText.Bytes(new JsonObject
        {
            ["protected"] = head,
            ["payload"] = body,
            ["signature"] = Base64Url.EncodeToString(signature),
        });
    }

    /// <inheritdoc/>
    public void Dispose() => _key.Dispose();

    // With the members in the order that the thumbprint needs (RFC 7638 section 3).
    private JsonObject PublicKey()
    {
        var point = _key.ExportParameters(includePrivateParameters: false).Q;
        return new JsonObject
        {
            ["crv"] = "P-256",
            ["kty"] = "EC",
            ["x"] = Base64Url.EncodeToString(point.X),
            ["y"] = Base64Url.EncodeToString(point.Y),
        };
    }
}
