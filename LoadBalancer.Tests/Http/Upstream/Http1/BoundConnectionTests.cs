using System.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Upstream.Http1;

/// <summary>Connections that a backend authenticates (NTLM, Negotiate): each belongs to one client.</summary>
[TimeLimit(60)]
internal sealed class BoundConnectionTests
{
    private const string Anonymous = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    [TestCase("NTLM abc")]
    [TestCase("Negotiate abc")]
    [TestCase("negotiate")]
    public async Task Get_ConnectionThatAClientHasAuthenticated_IsNotSharedAndServesItOn(string credentials)
    {
        await using var backend = Authenticating();
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var alice = await node.ConnectAsync();
        using var bob = await node.ConnectAsync();

        (await AskAsync(alice, Anonymous)).Should().EndWith("nobody");
        (await AskAsync(alice, $"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {credentials}\r\n\r\n")).Should().EndWith("somebody");
        for (var i = 0; i < 3; i++)
        {
            (await AskAsync(bob, Anonymous)).Should().EndWith("nobody");
            (await AskAsync(alice, Anonymous)).Should().EndWith("somebody", "its own connection serves it on");
        }
        alice.Dispose();
        await Eventually.BeTrueAsync(() => backend.Open == 1, "its connection ends with it");
        (await AskAsync(bob, Anonymous)).Should().EndWith("nobody");
    }

    [Test]
    public async Task Get_ClientOfHttp2_TheConnectionServesNobodyElse()
    {
        await using var backend = Authenticating();
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener => listener with { HttpVersion = HttpVersion.Version20 });
        using var request = new HttpRequestMessage(HttpMethod.Get, "/")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        request.Headers.TryAddWithoutValidation("Authorization", "NTLM abc");

        using var answer = await node.Client.SendAsync(request);

        (await answer.Content.ReadAsStringAsync()).Should().Be("somebody");
        await Eventually.BeTrueAsync(() => backend.Open == 0, "it is not kept");
    }

    [Test]
    public async Task Get_SeveralBackends_TheClientStaysAtItsOwn()
    {
        await using var first = Authenticating();
        await using var second = Authenticating();
        await using var node = await TestNode.StartAsync([first.Address, second.Address]);
        using var client = await node.ConnectAsync();

        (await AskAsync(client, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM abc\r\n\r\n")).Should().EndWith("somebody");

        for (var i = 0; i < 4; i++)
        {
            (await AskAsync(client, Anonymous)).Should().EndWith("somebody");
        }
        (first.Accepted + second.Accepted).Should().Be(1);
    }

    [Test]
    public async Task Get_BackendOffersIt_TheHandshakeStaysOnItsConnection()
    {
        await using var backend = new RawServer(async (peer, number) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await peer.SendAsync(
                    $"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate, NTLM\r\nContent-Length: 1\r\n\r\n{number}");
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var alice = await node.ConnectAsync();
        using var bob = await node.ConnectAsync();

        (await AskAsync(alice, Anonymous)).Should().EndWith("1");
        (await AskAsync(bob, Anonymous)).Should().EndWith("2");
        (await AskAsync(alice, Anonymous)).Should().EndWith("1");
    }

    // A connection is somebody's from the first Authorization on.
    private static RawServer Authenticating() => new(async (peer, _) =>
    {
        for (var isKnown = false; await peer.ReadHeadAsync() is { } head;)
        {
            isKnown |= head.Contains("Authorization:", StringComparison.OrdinalIgnoreCase);
            var who = isKnown ? "somebody" : "nobody";
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {who.Length}\r\n\r\n{who}");
        }
    });

    private static async Task<string> AskAsync(RawPeer client, string request)
    {
        await client.SendAsync(request);
        return await client.ReadResponseAsync();
    }
}
