using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards.Authentication;

/// <summary>Signed tokens. They are made here byte for byte, so that nothing is checked against the library that checks them.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class JwtTests : IDisposable
{
    private const string Settings = """ "Type": "Jwt", "Issuer": "https://id.test", "Audience": "api" """;

    private static readonly RSA Rsa = RSA.Create(2048); // Making one takes a quarter of a second.
    private static readonly ECDsa Ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [TestCase("RS256")]
    [TestCase("ES256")]
    public async Task Jwt_Valid_OpensTheDoorAndReachesTheBackend(string algorithm)
    {
        await using var node = await StartAsync(route: """, "RequestHeaders": { "Set": { "X-User": "{user}" } } """);
        var token = Token(algorithm: algorithm, key: algorithm == "RS256" ? "rsa" : "ec");

        (await node.GetAsync(Bearer(token))).Should().StartWith("HTTP/1.1 200").And.Contain("\r\nX-User: ann\r\n")
            .And.Contain($"\r\nAuthorization: Bearer {token}\r\n");
    }

    [TestCase("an issuer of others", "iss", "\"https://evil.test\"")]
    [TestCase("no issuer", "iss", "null")]
    [TestCase("another audience", "aud", "\"web\"")]
    [TestCase("expired two minutes ago", "exp", "-120")]
    [TestCase("no end", "exp", "null")]
    [TestCase("not valid yet", "nbf", "120")]
    public async Task Jwt_ClaimThatDoesNotHold_Is401(string why, string claim, string value)
    {
        await using var node = await StartAsync();

        (await node.GetAsync(Bearer(Token(claim: (claim, value))))).Should().StartWith("HTTP/1.1 401", why)
            .And.Contain("\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\n");
    }

    [TestCase("audience in a list", "aud", "[ \"web\", \"api\" ]")]
    [TestCase("expired within the skew", "exp", "-50")]
    [TestCase("valid within the skew", "nbf", "50")]
    public async Task Jwt_ClaimThatHolds_Is200(string why, string claim, string value)
    {
        await using var node = await StartAsync();

        (await node.GetAsync(Bearer(Token(claim: (claim, value))))).Should().StartWith("HTTP/1.1 200", why);
    }

    [Test]
    public async Task Jwt_Forged_Is401()
    {
        await using var node = await StartAsync();
        var valid = Token();
        var (head, body, signature) = (valid.Split('.')[0], valid.Split('.')[1], valid.Split('.')[2]);
        var rsaAsSecret = HmacToken(Encoding.UTF8.GetBytes(Rsa.ExportRSAPublicKeyPem()));
        string[] forged =
        [
            "", "x", "a.b.c", $"{head}.{body}.", $"{head}.{body}", $"{head}.{body}.{signature[..^4]}AAAA",
            $"{head}.{Base64("""{"iss":"https://id.test","aud":"api","sub":"root","exp":9999999999}""")}.{signature}",
            $"{Base64("""{"alg":"none","kid":"rsa"}""")}.{body}.", $"{Base64("""{"alg":"None","kid":"rsa"}""")}.{body}.{signature}",
            rsaAsSecret, // The public key taken for a secret.
            Token(algorithm: "RS256", key: "ec"), // The algorithm of another key.
            Token(keyId: "unknown"), Token(keyId: null), Token(header: ",\"crit\":[\"exp\"]"),
            $"{new string('A', 7000)}.B.C",
        ];

        foreach (var token in forged)
        {
            (await node.GetAsync(Bearer(token))).Should().StartWith("HTTP/1.1 401", "{0}", token);
        }
    }

    // Each is signed, so that nothing but the oddity can be the reason.
    [TestCase("""{"alg":"RS256","kid":5}""", null, 401)]
    [TestCase("""{"alg":"RS256","kid":["rsa"]}""", null, 401)]
    [TestCase("""{"alg":"RS256","kid":{"a":"rsa"}}""", null, 401)]
    [TestCase("""{"alg":"RS256","kid":null}""", null, 401)]
    [TestCase("""{"alg":["RS256"],"kid":"rsa"}""", null, 401)]
    [TestCase("""{"alg":null,"kid":"rsa"}""", null, 401)]
    [TestCase("""{"alg":256,"kid":"rsa"}""", null, 401)]
    [TestCase("""{"alg":"RS256","kid":"rsa","crit":null}""", null, 401)]
    [TestCase("[]", null, 401)]
    [TestCase("null", null, 401)]
    [TestCase("5", null, 401)]
    [TestCase("{", null, 401)]
    [TestCase(null, "[]", 401)]
    [TestCase(null, "null", 401)]
    [TestCase(null, "{", 401)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":"x"}""", 401)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":-1}""", 401)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":null}""", 401)]
    [TestCase(null, """{"iss":["https://id.test"],"aud":"api","exp":9999999999}""", 401)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":253402300799}""", 200)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":9223372036854775807}""", 200)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":9999999999,"nbf":-99999999999}""", 200)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":9999999999,"sub":5}""", 200)]
    [TestCase(null, """{"iss":"https://id.test","aud":"api","exp":9999999999,"sub":{"a":1}}""", 401)]
    public async Task Jwt_OddToken_IsAnswered(string? header, string? claims, int status)
    {
        await using var node = await StartAsync(route: """, "RequestHeaders": { "Set": { "X-User": "{user}" } } """);
        var text = $"{Base64(header ?? """{"alg":"RS256","kid":"rsa"}""")}.{(claims is null ? Token().Split('.')[1] : Base64(claims))}";
        var signature = Rsa.SignData(Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);

        (await node.GetAsync(Bearer($"{text}.{Base64(signature)}"))).Should().StartWith($"HTTP/1.1 {status}");
        node.Node.Log.Lines.Should().NotContain(line => line.Contains("unexpected") || line.Contains("unhandled"));
    }

    [TestCase("null")]
    [TestCase("[]")]
    [TestCase("5")]
    [TestCase("")]
    [TestCase("{}")]
    [TestCase("""{ "keys": null }""")]
    [TestCase("""{ "keys": {} }""")]
    [TestCase("""{ "keys": [ null ] }""")]
    [TestCase("""{ "keys": [ 5 ] }""")]
    [TestCase("""{ "keys": [ { "kty": null } ] }""")]
    [TestCase("""{ "keys": [ { "kty": 5, "kid": [] } ] }""")]
    [TestCase("""{ "keys": [ { "kty": "RSA", "kid": "r" } ] }""")]
    [TestCase("""{ "keys": [ { "kty": "RSA", "kid": "r", "n": "?", "e": "AQAB" } ] }""")]
    public void Parse_OddSet_IsAFormatException(string json) =>
        ((Action)(() => JwtKeys.Parse(Encoding.UTF8.GetBytes(json)))).Should().Throw<FormatException>();

    [Test]
    public void Parse_KeysOfOtherKinds_AreLeftOut() => // RFC 7517 section 5
        JwtKeys.Parse(Encoding.UTF8.GetBytes(Set("""{"kty":"OKP","kid":"o","crv":"Ed25519","x":"AAAA"}""", RsaKey("rsa")))).All
            .Should().ContainSingle().Which.Key.Kid.Should().Be("rsa");

    [Test]
    public async Task Jwt_NoToken_Is401()
    {
        await using var node = await StartAsync();

        (await node.GetAsync()).Should().StartWith("HTTP/1.1 401").And.Contain("\r\nWWW-Authenticate: Bearer\r\n");
    }

    [TestCase("\"role\": \"admin\"", "\"admin\"", 200)]
    [TestCase("\"role\": \"admin\"", "[ \"user\", \"admin\" ]", 200)]
    [TestCase("\"role\": \"admin\"", "\"user\"", 403)]
    [TestCase("\"role\": \"admin\"", "null", 403)]
    [TestCase("\"role\": \"5\"", "5", 200)]
    public async Task Jwt_RequiredClaims_AreNeeded(string required, string value, int status)
    {
        await using var node = await StartAsync($", \"RequiredClaims\": {{ {required} }}");

        (await node.GetAsync(Bearer(Token(claim: ("role", value))))).Should().StartWith($"HTTP/1.1 {status}");
    }

    [Test]
    public async Task Jwt_KeysAreFetched_503UntilTheyAreThere_RefetchedForANewKey()
    {
        var keys = "";
        await using var server = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                var body = Volatile.Read(ref keys);
                await peer.SendAsync(body.Length == 0
                    ? "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n" : $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
            }
        });
        await using var node = await GuardedNode.StartAsync($$"""{ {{Settings}}, "KeysAddress": "{{server.Address}}" }""");
        (await node.GetAsync(Bearer(Token()))).Should().StartWith("HTTP/1.1 503").And.Contain("Authentication is not available");
        await node.Node.Log.SaysAsync("requests that need one are answered 503");

        Volatile.Write(ref keys, Set(RsaKey("old")));
        await Eventually.BeTrueAsync(
            async () => (await node.GetAsync(Bearer(Token(keyId: "old")))).StartsWith("HTTP/1.1 200", StringComparison.Ordinal),
                "they are fetched");
        Volatile.Write(ref keys, "");

        (await node.GetAsync(Bearer(Token(keyId: "new")))).Should().StartWith("HTTP/1.1 401");
        (await node.GetAsync(Bearer(Token(keyId: "old")))).Should().StartWith("HTTP/1.1 200", "the known keys stay");
    }

    [TestCase("x", "it is not a JSON Web Key Set")]
    [TestCase("""{ "keys": [] }""", "it has no key for signatures")]
    [TestCase("""{ "keys": [ { "kty": "oct", "kid": "s", "k": "AAAA" } ] }""",
        "the key 's' is neither an RSA key nor one of P-256, P-384 or P-521")]
    [TestCase("""{ "keys": [ { "kty": "RSA", "kid": "r", "alg": "HS256", "n": "AQAB", "e": "AQAB" } ] }""",
        "the key 'r' has the algorithm 'HS256', which does not fit its type")]
    public void Parse_SetThatIsNotValid_SaysWhy(string json, string error) =>
        ((Action)(() => JwtKeys.Parse(Encoding.UTF8.GetBytes(json)))).Should().Throw<FormatException>().WithMessage(error);

    private Task<GuardedNode> StartAsync(string setting = "", string route = "")
    {
        var file = _directory.File("jwks.json");
        File.WriteAllText(file, Set(RsaKey("rsa"), EcKey("ec")));
        return GuardedNode.StartAsync($$"""{ {{Settings}}, "KeysFile": "{{file}}" {{setting}} }""", route);
    }

    private static string Set(params string[] keys) => $$"""{"keys":[{{string.Join(",", keys)}}]}""";

    private static string RsaKey(string id)
    {
        var key = Rsa.ExportParameters(false);
        return $$"""{"kty":"RSA","kid":"{{id}}","use":"sig","n":"{{Base64(key.Modulus!)}}","e":"{{Base64(key.Exponent!)}}"}""";
    }

    private static string EcKey(string id)
    {
        var key = Ec.ExportParameters(false);
        return $$"""{"kty":"EC","kid":"{{id}}","crv":"P-256","x":"{{Base64(key.Q.X!)}}","y":"{{Base64(key.Q.Y!)}}"}""";
    }

    private static string Token(
        string algorithm = "RS256", string key = "rsa", string? keyId = "", (string Name, string Value)? claim = null, string header = "")
    {
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
        var claims = new Dictionary<string, string>
        {
            ["iss"] = "\"https://id.test\"",
            ["aud"] = "\"api\"",
            ["sub"] = "\"ann\"",
            ["exp"] = $"{now + 300}",
        };
        if (claim is var (name, value))
        {
            claims[name] = name is "exp" or "nbf" && int.TryParse(value, out var seconds) ? $"{now + seconds}" : value;
        }
        var id = keyId is null ? "" : $",\"kid\":\"{(keyId.Length == 0 ? key : keyId)}\"";
        var body = string.Join(",", claims.Where(entry => entry.Value != "null").Select(entry => $"\"{entry.Key}\":{entry.Value}"));
        var text = $"{Base64($$"""{"alg":"{{algorithm}}"{{id}}{{header}}}""")}.{Base64($"{{{body}}}")}";
        var bytes = Encoding.ASCII.GetBytes(text);
        var signature = key == "rsa" ? Rsa.SignData(bytes, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : Ec.SignData(bytes, HashAlgorithmName.SHA256);
        return $"{text}.{Base64(signature)}";
    }

    private static string HmacToken(byte[] secret)
    {
        var body = Token().Split('.')[1];
        var text = $"{Base64("""{"alg":"HS256","kid":"rsa"}""")}.{body}";
        return $"{text}.{Base64(HMACSHA256.HashData(secret, Encoding.ASCII.GetBytes(text)))}";
    }

    private static string Bearer(string token) => $"Authorization: Bearer {token}\r\n";

    private static string Base64(string text) => Base64(Encoding.UTF8.GetBytes(text));

    private static string Base64(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');
}
