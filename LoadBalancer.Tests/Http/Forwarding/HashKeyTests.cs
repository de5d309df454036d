using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Management;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Which backend gets the requests of a key, over real connections.</summary>
internal sealed class HashKeyTests
{
    private const int Keys = 40;

    [TestCase("Header:X-User")]
    [TestCase("Cookie:user")]
    [TestCase("Query:user")]
    [TestCase("Path")]
    public async Task Get_SameKey_ComesToTheSameBackend(string key)
    {
        await using var servers = Servers.Start(5);
        await using var node =
            await TestNode.StartAsync(servers.Addresses, pool => pool with { Policy = PolicyName.Hash, HashKey = key });

        for (var round = 0; round < 2; round++)
        {
            for (var user = 0; user < Keys; user++)
            {
                var home = Home(node.Pool, key == "Path" ? $"/{user}" : $"{user}");
                (await GetAsync(node, key, user)).Should().Be(home.Name);
            }
        }

        StatusJson.Pools([node.Pool])[0]!["hashKey"]!.GetValue<string>().Should().Be(key);
        Enumerable.Range(0, Keys).Select(user => Home(node.Pool, $"{user}")).Distinct().Should().HaveCountGreaterThan(3);
    }

    [Test]
    public async Task Get_RequestsOfEachKeyBreakOff_AreTriedAtItsNextPlaceOnTheRing()
    {
        await using var servers = Servers.Start(5);
        await using var node = await TestNode.StartAsync(servers.Addresses, pool => pool with
        {
            Policy = PolicyName.Hash,
            HashKey = "Header:X-User",
            PassiveHealth = new() { Failures = 1000, FailureShare = 1 },
            Retry = new() { Budget = 1 },
        });
        var bad = node.Pool.Snapshot.Members[2];
        servers.Breaking = bad.Name;
        List<string> seconds = [];
        foreach (var user in Enumerable.Range(0, 2 * Keys).Where(user => Home(node.Pool, $"{user}") == bad))
        {
            var second = node.Pool.Snapshot.Policy.Pick(new SelectionContext([bad], ClientHash.OfText($"{user}")))!;

            seconds.Add(await GetAsync(node, "Header:X-User", user));
            seconds[^1].Should().Be(second.Name);
        }

        seconds.Distinct().Should().HaveCountGreaterThan(2, "they do not all go to one and the same");
    }

    [Test]
    public async Task Get_WithoutTheKey_GoesByClient()
    {
        await using var servers = Servers.Start(5);
        await using var node = await TestNode.StartAsync(
            servers.Addresses,
            pool => pool with { Policy = PolicyName.Hash, HashKey = "Header:X-User" },
            listener => listener with { TrustedProxies = [IPNetwork.Parse("127.0.0.1/32")] });

        for (var client = 1; client <= 20; client++)
        {
            var hash = ClientHash.Of(IPAddress.Parse($"10.0.0.{client}"));
            using var request = new HttpRequestMessage(HttpMethod.Get, "/");
            request.Headers.Add("X-Forwarded-For", $"10.0.0.{client}");

            using var response = await node.Client.SendAsync(request);

            var home = node.Pool.Snapshot.Policy.Pick(new SelectionContext(null, hash))!;
            (await response.Content.ReadAsStringAsync()).Should().Be(home.Name);
        }
    }

    private static Backend Home(BackendPool pool, string value) =>
        pool.Snapshot.Policy.Pick(new SelectionContext(null, ClientHash.OfText(value)))!;

    private static async Task<string> GetAsync(TestNode node, string key, int user)
    {
        var target = key == "Path" ? $"/{user}?a=b" : $"/?x=1&us%65r={user}";
        using var request = new HttpRequestMessage(HttpMethod.Get, target);
        request.Headers.Add("X-User", $"{user}");
        request.Headers.Add("Cookie", $"other=1; user={user}");
        using var response = await node.Client.SendAsync(request);
        return await response.Content.ReadAsStringAsync();
    }

    /// <summary>Servers that answer with the names that the node gives them.</summary>
    private sealed class Servers : IAsyncDisposable
    {
        private readonly List<RawServer> _servers = [];

        public string? Breaking { get; set; }

        public IEnumerable<string> Addresses => _servers.Select(server => server.Address);

        public static Servers Start(int count)
        {
            var servers = new Servers();
            servers._servers.AddRange(Enumerable.Range(1, count).Select(number => new RawServer(async (peer, _) =>
            {
                while (await peer.ReadHeadAsync() is not null && servers.Breaking != $"b{number}")
                {
                    await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb{number}");
                }
            })));
            return servers;
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var server in _servers)
            {
                await server.DisposeAsync();
            }
        }
    }
}
