using System.Globalization;
using System.Text;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards.Authentication;

/// <summary>Names and passwords.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class BasicTests : IDisposable
{
    private const string OneHash = "$2y$04$Dr6rVMMk6N7yP2XbkDwBLuqC8V8Zk0Tys1C.0Y0VrCSv1dv3eFEEe";

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [TestCase("ann", "right", true)]
    [TestCase("ann", "wrong", false)]
    [TestCase("ann", "", false)]
    [TestCase("Ann", "right", false)]
    [TestCase("nobody", "right", false)]
    [TestCase("jörg", "pässword", true)]
    [TestCase("bob", "with:colon", true)]
    public async Task Basic_NameAndPassword_OpenTheDoor(string name, string password, bool isOpen)
    {
        await using var node = await StartAsync();

        (await node.GetAsync(Authorization(name, password))).Should().StartWith(isOpen ? "HTTP/1.1 200" : "HTTP/1.1 401");
    }

    [TestCase("")]
    [TestCase("Authorization: Basic\r\n")]
    [TestCase("Authorization: Basic ???\r\n")]
    [TestCase("Authorization: Basic YW5u\r\n")]
    [TestCase("Authorization: Basic //8=\r\n")]
    [TestCase("Authorization: Bearer YW5uOnJpZ2h0\r\n")]
    [TestCase("Authorization: Basic YW5uOnJpZ2h0\r\nAuthorization: Basic YW5uOnJpZ2h0\r\n")]
    public async Task Basic_NoCredentials_Is401WithAChallenge(string fields)
    {
        await using var node = await StartAsync();

        (await node.GetAsync(fields)).Should().StartWith("HTTP/1.1 401 Unauthorized\r\n")
            .And.Contain("\r\nWWW-Authenticate: Basic realm=\"staff only\", charset=\"UTF-8\"\r\n")
            .And.EndWith("\r\n\r\nAuthentication is required\n");
        node.Node.Pool.Snapshot.Members[0].Requests.Should().Be(0);
    }

    [TestCase("", "Authorization:", false)]
    [TestCase(", \"Forward\": true", "Authorization: Basic", true)]
    public async Task Basic_Credentials_ReachTheBackendOnlyIfSaid(string setting, string field, bool arrives)
    {
        await using var node = await StartAsync(setting);

        (await node.GetAsync(Authorization("ann", "right"))).Contains(field, StringComparison.Ordinal).Should().Be(arrives);
    }

    [Test]
    public async Task Basic_User_ReachesTheBackendWhereTheRouteSaysSo()
    {
        await using var node = await StartAsync(
            route: """, "RequestHeaders": { "Set": { "X-User": "{user}" } }, "ResponseHeaders": { "Set": { "X-Hello": "{user}" } } """);

        (await node.GetAsync(Authorization("ann", "right") + "X-User: root\r\n")).Should().Contain("\r\nX-User: ann\r\n")
            .And.Contain("\r\nX-Hello: ann\r\n").And.NotContain("root");
        (await node.GetAsync("X-User: root\r\n")).Should().StartWith("HTTP/1.1 401");
    }

    [Test]
    public async Task Basic_FileChanges_NewUsersAndPasswordsHold()
    {
        await using var node = await StartAsync();
        (await node.GetAsync(Authorization("ann", "right"))).Should().StartWith("HTTP/1.1 200");

        Write("ann:" + Hash("new"), "cy:" + Hash("secret"));
        await Eventually.BeTrueAsync(
            async () => (await node.GetAsync(Authorization("cy", "secret"))).StartsWith("HTTP/1.1 200", StringComparison.Ordinal),
            "the file is read again");
        (await node.GetAsync(Authorization("ann", "right"))).Should().StartWith("HTTP/1.1 401",
            "a password that was remembered is forgotten");
        (await node.GetAsync(Authorization("ann", "new"))).Should().StartWith("HTTP/1.1 200");

        Write("this is no user");
        await node.Node.Log.SaysAsync("has changed and cannot be used (line 1 is not a name, a colon and a bcrypt hash");
        (await node.GetAsync(Authorization("cy", "secret"))).Should().StartWith("HTTP/1.1 200", "a broken file keeps the old one");
    }

    [Test]
    public async Task Basic_RateLimitByUser_EachHasItsCount()
    {
        await using var node = await StartAsync(
            route: """, "RateLimit": "some" """, limit: """{ "Key": "User", "Permits": 1, "Window": "01:00:00" }""");

        (await node.GetAsync(Authorization("ann", "right"))).Should().StartWith("HTTP/1.1 200");
        (await node.GetAsync(Authorization("ann", "right"))).Should().StartWith("HTTP/1.1 429");
        (await node.GetAsync(Authorization("bob", "with:colon"))).Should().StartWith("HTTP/1.1 200");
        (await node.GetAsync(Authorization("ann", "wrong"))).Should().StartWith("HTTP/1.1 401",
            "a wrong password must not use up a permit of ann's");
    }

    [Test]
    public async Task Basic_WrongPasswordsOfOneClientAtOnce_DoNotPileUp()
    {
        Write("ann:" + BCrypt.Net.BCrypt.HashPassword("right", 10));
        await using var node = await GuardedNode.StartAsync($$"""{ "UsersFile": "{{File}}" }""");

        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => node.GetAsync(Authorization("ann", $"wrong {i}"))));

        answers.Should().OnlyContain(answer => answer.StartsWith("HTTP/1.1 401") || answer.StartsWith("HTTP/1.1 429"));
        answers.Should().Contain(answer => answer.StartsWith("HTTP/1.1 429"), "a client can have a few checks at once");
    }

    [Test]
    public async Task Basic_TooManyWait_SaysWhenToTryAgain()
    {
        Write("ann:" + BCrypt.Net.BCrypt.HashPassword("right", 10));
        await using var node = await GuardedNode.StartAsync($$"""{ "UsersFile": "{{File}}" }""");

        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => node.GetAsync(Authorization("ann", $"wrong {i}"))));

        answers.Where(answer => answer.StartsWith("HTTP/1.1 429")).Should().NotBeEmpty()
            .And.OnlyContain(answer => answer.Contains("\r\nRetry-After: 1\r\n"));
    }

    [Test]
    public async Task Basic_ClientsBehindATrustedProxy_HaveTheirOwnChecks()
    {
        Write("ann:" + BCrypt.Net.BCrypt.HashPassword("right", 10));
        await using var node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": {
                "Authentication": { "some": { "UsersFile": "{{File}}" } },
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "Authentication": "some",
                    "TrustedProxies": [ "127.0.0.1" ] } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } } } }
            """);

        var answers = await Task.WhenAll(Enumerable.Range(1, 20).Select(i => RawPeer.ExchangeAsync(node.Port,
            $"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.{i}\r\n{Authorization("ann", $"wrong {i}")}Connection: close\r\n\r\n")));

        answers.Should().OnlyContain(answer => answer.StartsWith("HTTP/1.1 401"));
    }

    [Test]
    public void Parse_ByteOrderMark_IsNoPartOfAName() => UsersFile.Parse("\uFEFFann:" + Hash("x")).Hashes.Should().ContainKey("ann");

    [TestCase("ann", "line 1 is not a name, a colon and a bcrypt hash, as htpasswd -B writes them")]
    [TestCase("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "line 1 is not a name, a colon and a bcrypt hash, as htpasswd -B writes them")]
    [TestCase(":$2y$04$Dr6rVMMk6N7yP2XbkDwBLuqC8V8Zk0Tys1C.0Y0VrCSv1dv3eFEEe", "line 1 is not a name, *")]
    [TestCase("a:$2y$15$Dr6rVMMk6N7yP2XbkDwBLuqC8V8Zk0Tys1C.0Y0VrCSv1dv3eFEEe", "line 1 has a cost above 14, which takes seconds to check")]
    [TestCase("a:$2y$03$Dr6rVMMk6N7yP2XbkDwBLuqC8V8Zk0Tys1C.0Y0VrCSv1dv3eFEEe", "line 1 has a cost below 4, which bcrypt does not have")]
    [TestCase("# users\n\na:" + OneHash + "\r\na:" + OneHash, "line 4 has a name that stands in the file already")]
    public void Parse_FileThatIsNotValid_SaysWhere(string text, string error) =>
        ((Action)(() => UsersFile.Parse(text))).Should().Throw<FormatException>().WithMessage(error);

    [TestCase("a")]
    [TestCase("b")]
    [TestCase("nobody")]
    public void Checks_AnyName_CostTogetherWhatTheMostExpensiveHashDoes(string name)
    {
        var users = UsersFile.Parse($"a:{Hash("x")}\nb:{BCrypt.Net.BCrypt.HashPassword("y", 6)}");
        var hash = users.Hashes.GetValueOrDefault(name);

        string[] checks = [.. users.Checks(hash)];

        checks.Sum(check => 1 << int.Parse(check.AsSpan(4, 2), CultureInfo.InvariantCulture)).Should().Be(1 << 6);
        checks[0].Should().Be(hash ?? checks[0]);
        checks.Skip(hash is null ? 0 : 1).Where(check => BCrypt.Net.BCrypt.Verify("x", check)).Should().BeEmpty();
    }

    [Test]
    public async Task Basic_HtpasswdsFile_IsRead()
    {
        if (!System.IO.File.Exists("/usr/bin/htpasswd"))
        {
            Assert.Ignore("htpasswd is not installed (Debian: apt-get install apache2-utils)");
        }
        using var htpasswd = System.Diagnostics.Process.Start("/usr/bin/htpasswd", ["-cbB", File, "dora", "her password"])!;
        await htpasswd.WaitForExitAsync();
        await using var node = await GuardedNode.StartAsync($$"""{ "UsersFile": "{{File}}" }""");

        (await node.GetAsync(Authorization("dora", "her password"))).Should().StartWith("HTTP/1.1 200");
        (await node.GetAsync(Authorization("dora", "his password"))).Should().StartWith("HTTP/1.1 401");
    }

    private string File => _directory.File("users");

    private Task<GuardedNode> StartAsync(string setting = "", string route = "", string limit = """{ "Permits": 1 }""")
    {
        Write("# staff", "ann:" + Hash("right"), "bob:" + Hash("with:colon"), "jörg:" + Hash("pässword"));
        return GuardedNode.StartAsync($$"""{ "UsersFile": "{{File}}", "Realm": "staff only" {{setting}} }""", route, limit);
    }

    private void Write(params string[] lines) => System.IO.File.WriteAllLines(File, lines);

    private static string Hash(string password) => BCrypt.Net.BCrypt.HashPassword(password, 4).Replace("$2a$", "$2y$");

    private static string Authorization(string name, string password) =>
        $"Authorization: Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes($"{name}:{password}"))}\r\n";
}
