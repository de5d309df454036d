using System.Text.Json.Nodes;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Backups, as clients and operators see them.</summary>
internal sealed class BackupTests
{
    private RawServer _one = null!;
    private RawServer _two = null!;

    [SetUp]
    public void SetUp() => (_one, _two) = (Named("one"), Named("two"));

    [TearDown]
    public async Task TearDownAsync()
    {
        await _one.DisposeAsync();
        await _two.DisposeAsync();
    }

    [Test]
    public async Task Get_OtherRefuses_GoesToTheBackup()
    {
        await using var node = await ConfiguredNode.StartAsync(Pool($$"""
            "b1": { "Address": "http://127.0.0.1:{{ReservedPorts.Next()}}" }, "b2": { "Address": "{{_two.Address}}", "Backup": true }
            """));

        (await node.Client.GetStringAsync("/")).Should().Be("two");
    }

    [Test]
    public async Task Get_OtherBreaksOff_IsTriedAtTheBackup()
    {
        await using var bad = new RawServer(async (peer, _) => await peer.ReadHeadAsync());
        await using var node = await ConfiguredNode.StartAsync(Pool($$"""
            "b1": { "Address": "{{bad.Address}}" }, "b2": { "Address": "{{_two.Address}}", "Backup": true }
            """));

        (await node.Client.GetStringAsync("/")).Should().Be("two");
    }

    [Test]
    public async Task Reload_BackupChanges_HoldsForTheNextRequestsAndIsShown()
    {
        await using var node = await ConfiguredNode.StartAsync(TwoBackends(isSecondBackup: true));
        (await AnswersAsync(node, 4)).Should().Equal("one", "one", "one", "one");
        (await BackupsAsync(node)).Should().Equal("b1 ", "b2 true");

        await node.ReloadedAsync(() => node.WriteAsync(TwoBackends(isSecondBackup: false)));
        (await AnswersAsync(node, 4)).Should().BeEquivalentTo("one", "one", "two", "two");
        (await BackupsAsync(node)).Should().Equal("b1 ", "b2 ");

        await node.ReloadedAsync(() => node.WriteAsync(TwoBackends(isSecondBackup: true)));
        (await AnswersAsync(node, 4)).Should().Equal("one", "one", "one", "one");
    }

    [Test]
    public async Task Get_StickyClientOfABackup_GoesBackAndGetsAnotherCookie()
    {
        await using var node = await ConfiguredNode.StartAsync(TwoBackends(isSecondBackup: true, "\"StickySession\": {},"));
        var primary = node.Pool.Snapshot.Members[0];
        node.Pool.Change(() => primary.AdminState = AdminState.Disabled);
        var (_, cookie) = await GetAsync(node, null);
        (await GetAsync(node, cookie)).Should().Be(("two", null));

        node.Pool.Change(() => primary.AdminState = AdminState.Ready);

        var (server, another) = await GetAsync(node, cookie);
        (server, another is not null && another != cookie).Should().Be(("one", true));
        (await GetAsync(node, another)).Should().Be(("one", null));
    }

    private static RawServer Named(string name) => RawServer.Answering($"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n\r\n{name}");

    private string TwoBackends(bool isSecondBackup, string settings = "") => Pool($$"""
        "b1": { "Address": "{{_one.Address}}" },
        "b2": { "Address": "{{_two.Address}}", "Backup": {{(isSecondBackup ? "true" : "false")}} }
        """, settings);

    private static string Pool(string backends, string settings = "") => $$"""{ "web": { {{settings}} "Backends": { {{backends}} } } }""";

    private static async Task<List<string>> AnswersAsync(ConfiguredNode node, int count)
    {
        var answers = new List<string>();
        for (var i = 0; i < count; i++)
        {
            answers.Add(await node.Client.GetStringAsync("/"));
        }
        return answers;
    }

    private static async Task<(string Server, string? Cookie)> GetAsync(ConfiguredNode node, string? cookie)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        if (cookie is not null)
        {
            request.Headers.Add("Cookie", cookie);
        }
        using var response = await node.Client.SendAsync(request);
        var set = response.Headers.TryGetValues("Set-Cookie", out var values) ? values.Single().Split(';')[0] : null;
        return (await response.Content.ReadAsStringAsync(), set);
    }

    private static async Task<List<string>> BackupsAsync(ConfiguredNode node)
    {
        var pools = JsonNode.Parse(await node.Management.GetStringAsync("/api/pools"))!;
        return [.. pools["pools"]![0]!["backends"]!.AsArray().Select(backend => $"{backend!["name"]} {backend["backup"]}")];
    }
}
