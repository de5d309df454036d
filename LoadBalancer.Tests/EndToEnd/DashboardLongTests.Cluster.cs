using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The nodes that act as one with the one whose page it is.</summary>
internal sealed partial class DashboardLongTests
{
    private ILocator NodeRow(string name) => Page.Locator("#nodes tr").Filter(new() { Has = Page.GetByText(name, new() { Exact = true }) });

    [Test]
    public async Task Cluster_OfThreeNodes_ShowsEachAndAddsTheirRatesUp()
    {
        await ShowAsync([Pool("web", Backend("b1"))]);
        await ShowClusterAsync(Page, isConnected: true);

        await Expect(Page.Locator("#cluster-heading")).ToHaveTextAsync("Cluster edge");
        await Expect(Page.Locator("#nodes tr")).ToHaveCountAsync(3);
        await Expect(NodeRow("a")).ToHaveTextAsync(
            new Regex("^a this node, main of store1002[.]0 %12 ms3● 2 uprevision 41[.]2[.]3.*http://10[.]0[.]0[.]1:8081$"));
        await Expect(NodeRow("<b>")).ToHaveTextAsync(new Regex("^<b> 500 %12 ms1"));
        await Expect(NodeRow("<b>")).ToContainTextAsync("▼ 1 of 2 down");
        await Expect(NodeRow("<b>")).ToContainTextAsync("▼ revision 3: the pool 'web' is not there");
        await Expect(NodeRow("<b>").GetByRole(AriaRole.Link)).ToHaveAttributeAsync("href", "http://10.0.0.2:8081");
        await Expect(NodeRow("c")).ToHaveTextAsync("c –––––its own file––javascript:alert(1)");
        await Expect(NodeRow("c").GetByRole(AriaRole.Link)).ToHaveCountAsync(0);
        await Expect(Page.Locator("#nodes-sum")).ToHaveTextAsync("All 3 nodes, but 1 of which nothing is known yet1501.3 %–4");
        await Expect(Page.Locator("#cluster-line")).ToContainTextAsync(
            "3 nodes, together 150 requests/s. What you change of a backend here holds on all 3 nodes;");
        await Expect(Page.Locator("#connection")).Not.ToContainTextAsync("cut off");
    }

    [Test]
    public async Task Cluster_WithoutEtcd_SaysThatChangesAreRefusedAndWhy()
    {
        await ShowAsync([Pool("web", Backend("b1"))]);
        await ShowClusterAsync(Page, isConnected: false);

        await Expect(Page.Locator("#cluster-line")).ToHaveTextAsync(
            "▼ not connected to etcd: etcd at 127.0.0.1:1 cannot be reached. Changes are refused until that is over. Traffic goes on. "
            + "The nodes are those that were known last.");
        await Expect(Page.Locator("#connection")).ToContainTextAsync("▼ cut off from its cluster");
    }

    /// <summary>Two programs and an etcd, which is killed in the end.</summary>
    [Test]
    public async Task Cluster_DrainAtOneNode_HoldsOnTheOtherAndIsRefusedWithoutEtcd()
    {
        await using var etcd = await EtcdServer.StartAsync();
        using var folder = new TemporaryDirectory();
        string[] dashboards = [$"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}"];
        await using var a = await StartMemberAsync(folder, etcd.Address, "a", dashboards[0]);
        await using var b = await StartMemberAsync(folder, etcd.Address, "b", dashboards[1]);
        await Page.GotoAsync(dashboards[0]);
        await Expect(Page.Locator("#nodes-sum")).ToHaveTextAsync(new Regex("^All 2 nodes0"));
        await Expect(NodeRow("b")).ToContainTextAsync("● 2 up");

        await Page.GetByRole(AriaRole.Button, new() { Name = "Drain b2" }).ClickAsync();
        await Expect(Row("b2")).ToContainTextAsync("Draining");
        using var client = new HttpClient();
        await Eventually.BeTrueAsync(
            async () => JsonNode.Parse(await client.GetStringAsync(new Uri(dashboards[1] + "/api/pools/web/backends/b2")))!
                ["adminState"]!.ToString() == "Draining",
            "the drain holds on the other node");
        await Expect(Page.Locator("#audit")).ToContainTextAsync("web/b2 adminState Ready → Draining");

        await etcd.KillAsync();
        await Expect(Page.Locator("#connection")).ToContainTextAsync("cut off from its cluster");
        await Page.GetByRole(AriaRole.Button, new() { Name = "Bring back b2" }).ClickAsync();
        await Expect(Page.Locator("#toast")).ToContainTextAsync("web/b2 was not changed: ");
        await Expect(Page.Locator("#toast")).ToContainTextAsync("not connected to etcd");
    }

    private Task<ProgramUnderTest> StartMemberAsync(TemporaryDirectory folder, string etcd, string name, string dashboard)
    {
        var backend = new { Server.Address };
        var file = folder.File($"{name}.json");
        File.WriteAllText(file, System.Text.Json.JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Cluster = new
                {
                    Name = "edge",
                    Node = name,
                    Etcd = new[] { etcd },
                    LeaseTime = "3s",
                    StateDirectory = folder.File("state"),
                },
                Listeners = new { web = new { Address = $"http://127.0.0.1:{ReservedPorts.Next()}", Pool = "web" } },
                Pools = new { web = new { Backends = new { b1 = backend, b2 = backend } } },
                Management = new { Address = dashboard },
            },
        }));
        return ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);
    }

    /// <summary>Lets the page be that of a node in a cluster.</summary>
    private static async Task ShowClusterAsync(IPage page, bool isConnected)
    {
        static object Rates(int requestsPerSecond, double errorShare, int inFlight, int down) =>
            new { requestsPerSecond, errorShare, p50Ms = 1, p99Ms = 12, inFlight, backends = 2, down };
        var since = "2026-11-30T08:00:00Z";
        object[] nodes =
        [
            new { name = "a", address = "http://10.0.0.1:8081", version = "1.2.3", since, rates = Rates(100, 0.02, 3, 0),
                configuration = new { revision = 4, error = (string?)null } },
            new { name = "<b>", address = "http://10.0.0.2:8081", version = "1.2.3", since, rates = Rates(50, 0, 1, 1),
                configuration = new { revision = 3, error = "the pool 'web' is not there" } },
            new { name = "c", address = "javascript:alert(1)", configuration = (object?)null, rates = (object?)null },
        ];
        var mains = new { store = "a" };
        var connected = new { name = "edge", node = "a", connected = true, revision = 7, nodes, mains };
        var reason = "etcd at 127.0.0.1:1 cannot be reached";
        var cut = new { name = "edge", node = "a", connected = false, revision = 7, nodes, mains, reason };
        await page.RouteAsync("**/api/node", route => route.FulfillAsync(new()
        {
            Json = new { version = "1.2.3", build = "JIT", process = 1, startedAt = since, uptimeSeconds = 5, cluster = "edge" },
        }));
        await page.RouteAsync("**/api/cluster*", route => route.FulfillAsync(new() { Json = isConnected ? connected : cut }));
        await page.ReloadAsync();
    }
}
