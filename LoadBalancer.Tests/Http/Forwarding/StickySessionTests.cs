using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Clients that come back to the backend that served them first.</summary>
internal sealed class StickySessionTests
{
    private string _directory = "";

    private string KeyFile => Path.Combine(_directory, "sub", "key");

    [SetUp]
    public void SetUp() => _directory = Directory.CreateTempSubdirectory().FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(_directory, recursive: true);

    [Test]
    public async Task Get_WithTheCookie_ComesBackAndIsGivenNoOther()
    {
        await using var one = Named("one", "Set-Cookie: theirs=1\r\n");
        await using var two = Named("two");
        await using var node = await StartAsync([one.Address, two.Address]);

        var (server, cookies) = await GetAsync(node, null);
        server.Should().Be("one");
        cookies.Should().HaveCount(2).And.Contain("theirs=1");
        var cookie = cookies[1];
        cookie.Should().MatchRegex("^lb-backend=[A-Za-z0-9_-]{22}; Path=/; HttpOnly; SameSite=Lax$");

        for (var i = 0; i < 5; i++)
        {
            await ExpectAsync(node, $"a=b; {cookie.Split(';')[0]};c=d", "one", "theirs=1");
        }
        (await GetAsync(node, null)).Server.Should().Be("two", "others go on in turn");
    }

    [TestCase("lb-backend=")]
    [TestCase("lb-backend=AAAAAAAAAAAAAAAAAAAAAA")]
    [TestCase("lb-backend=b1")]
    [TestCase("lb-backend; lb-backendx=1; =; ;;")]
    public async Task Get_CookieMadeUp_IsWorthNothing(string cookie)
    {
        await using var one = Named("one");
        await using var two = Named("two");
        await using var node = await StartAsync([one.Address, two.Address]);

        (await GetAsync(node, cookie)).Server.Should().Be("one");
        var (server, cookies) = await GetAsync(node, cookie);

        server.Should().Be("two");
        cookies.Should().ContainSingle().Which.Should().StartWith("lb-backend=");
    }

    [Test]
    public async Task Get_ItsBackendDrains_IsHonoured()
    {
        await using var one = Named("one");
        await using var two = Named("two");
        await using var node = await StartAsync([one.Address, two.Address]);
        var cookie = (await GetAsync(node, null)).Cookies[0].Split(';')[0];

        node.Pool.Change(() => node.Pool.Snapshot.Members[0].AdminState = AdminState.Draining);

        await ExpectAsync(node, cookie, "one");
        (await GetAsync(node, null)).Server.Should().Be("two");
        (await GetAsync(node, null)).Server.Should().Be("two");
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Get_ItsBackendIsDownOrDisabled_IsGivenUp(bool disabled)
    {
        await using var one = Named("one");
        await using var two = Named("two");
        await using var node = await StartAsync([one.Address, two.Address]);
        var cookie = (await GetAsync(node, null)).Cookies[0].Split(';')[0];

        if (disabled)
        {
            node.Pool.Change(() => node.Pool.Snapshot.Members[0].AdminState = AdminState.Disabled);
        }
        else
        {
            await one.KillAsync();
        }

        var (server, cookies) = await GetAsync(node, cookie);
        server.Should().Be("two");
        cookies.Should().ContainSingle().Which.Should().NotStartWith(cookie, "it is led to the other from now on");
    }

    [Test]
    public async Task Get_ItsBackendIsFull_GoesElsewhereAndKeepsItsCookie()
    {
        var answer = new TaskCompletionSource();
        await using var one = new RawServer(async (peer, _) =>
        {
            for (var i = 0; await peer.ReadHeadAsync() is not null; i++)
            {
                if (i > 0)
                {
                    await answer.Task;
                }
                await peer.SendAsync("HTTP/1.1 200 OK\r\nServer: one\r\nContent-Length: 0\r\n\r\n");
            }
        });
        await using var two = Named("two");
        await using var node = await StartAsync([one.Address, two.Address], maxInFlight: 1);
        var cookie = (await GetAsync(node, null)).Cookies[0].Split(';')[0];
        var busy = GetAsync(node, cookie);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "its backend is full");

        await ExpectAsync(node, cookie, "two");

        answer.SetResult();
        (await busy).Server.Should().Be("one");
    }

    [Test]
    public async Task Get_AnotherNodeWithTheSameKey_LeadsToTheSameBackend()
    {
        await using var one = Named("one");
        await using var two = Named("two");
        string[] addresses = [one.Address, two.Address];
        string cookie;
        await using (var node = await StartAsync(addresses))
        {
            await GetAsync(node, null);
            cookie = (await GetAsync(node, null)).Cookies[0].Split(';')[0];
        }

        await using var restarted = await StartAsync(addresses);

        await ExpectAsync(restarted, cookie, "two");
        if (!OperatingSystem.IsWindows())
        {
            File.GetUnixFileMode(KeyFile).Should().Be(UnixFileMode.UserRead | UnixFileMode.UserWrite, "it is a secret");
        }
        Directory.GetFiles(Path.GetDirectoryName(KeyFile)!).Should().Equal(KeyFile);
    }

    [Test]
    public async Task Start_KeyUnusable_SaysSoInOneLine()
    {
        await using var one = Named("one");
        var file = Path.Combine(_directory, "short");
        await File.WriteAllTextAsync(file, "c2hvcnQ=");

        var start = async () =>
            await TestNode.StartAsync([one.Address], pool => pool with { StickySession = new StickySessionOptions { KeyFile = file } });

        (await start.Should().ThrowAsync<StartException>()).WithMessage(
            $"pool 'web': the key of its sticky sessions cannot be read from '{file}' or written there: expected 32 bytes or more in " +
                $"base64, found 5");
    }

    [Test]
    public async Task Get_FromATrustedProxyThatHadHttps_TheCookieIsSecure()
    {
        await using var one = Named("one");
        await using var node = await TestNode.StartAsync(
            [one.Address], Sticky(null), listener => listener with { TrustedProxies = [System.Net.IPNetwork.Parse("127.0.0.1/32")] });
        using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { { "X-Forwarded-Proto", "https" } } };

        using var answer = await node.Client.SendAsync(request);

        answer.Headers.GetValues("Set-Cookie").Should().ContainSingle().Which.Should().EndWith("; SameSite=Lax; Secure");
    }

    private static RawServer Named(string name, string fields = "") =>
        RawServer.Answering($"HTTP/1.1 200 OK\r\nServer: {name}\r\n{fields}Content-Length: 0\r\n\r\n");

    private static async Task<(string Server, string[] Cookies)> GetAsync(TestNode node, string? cookie)
    {
        using var client = await node.ConnectAsync();
        await client.SendAsync($"GET / HTTP/1.1\r\nHost: a\r\n{(cookie is null ? "" : $"Cookie: {cookie}\r\n")}\r\n");
        var lines = (await client.ReadResponseAsync()).Split("\r\n");
        return (lines.Single(line => line.StartsWith("Server: "))[8..],
            [.. lines.Where(line => line.StartsWith("Set-Cookie: ")).Select(line => line[12..])]);
    }

    private static async Task ExpectAsync(TestNode node, string cookie, string server, params string[] cookies)
    {
        var answer = await GetAsync(node, cookie);
        answer.Server.Should().Be(server);
        answer.Cookies.Should().Equal(cookies);
    }

    private Task<TestNode> StartAsync(IEnumerable<string> backends, int? maxInFlight = null) =>
        TestNode.StartAsync(backends, Sticky(maxInFlight));

    private Func<PoolOptions, PoolOptions> Sticky(int? maxInFlight) => pool => pool with
    {
        StickySession = new StickySessionOptions { KeyFile = KeyFile },
        Backends = pool.Backends.ToDictionary(entry => entry.Key, entry => entry.Value with { MaxInFlight = maxInFlight }),
    };
}
