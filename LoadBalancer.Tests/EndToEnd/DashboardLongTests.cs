using System.Text.Json;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The rest of the dashboard: a browser takes much of the machine's time.</summary>
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
internal sealed partial class DashboardLongTests : DashboardFixture
{
    [Test]
    public async Task Page_OfABroker_ShowsWhatItIsAndWhomItHasRefused()
    {
        await using var node = await BrokerNode.StartAsync(isManaged: true);
        await node.WorkerAsync();
        await RawPeer.ExchangeAsync(node.Ports.Clients, "GET / HTTP/1.1\r\n\r\n");

        await Page.GotoAsync(node.Dashboard);

        await Expect(Page.Locator(".broker")).ToContainTextAsync(BrokerLine());
        await Expect(Page.Locator(".findings")).ToContainTextAsync("refused: 1 × NotZmtp at Clients");
    }

    [Test]
    public async Task Page_OfAListenerWithTls_ShowsUntilWhenItsCertificatesAreValid()
    {
        using var certificates = new TestCertificates();
        var end = TimeProvider.System.GetUtcNow().AddDays(5.5);
        var certificate = certificates.IssueUntil(end, "shop", "shop.test");
        var dashboard = $"http://127.0.0.1:{ReservedPorts.Next()}";
        var file = certificates.Write("settings.json", JsonSerializer.Serialize(new
        {
            LoadBalancer = new
            {
                Listeners = new
                {
                    web = new { Address = $"https://127.0.0.1:{ReservedPorts.Next()}", Pool = "web", Certificates = new[] { certificate } },
                },
                Pools = new { web = new { Backends = new { b1 = new { Address = Server.Address } } } },
                Management = new { Address = dashboard },
            },
        }));
        await using var node = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);

        await Page.GotoAsync(dashboard);

        await Expect(Page.Locator("#certificates li"))
            .ToContainTextAsync($"web {certificate.File} valid until {end.UtcDateTime:yyyy-MM-dd}, 5 more days");
        await Expect(Page.Locator("#certificates .warn")).ToBeVisibleAsync();
    }

    [Test]
    public async Task Weight_Changed_IsTakenUpRefusedOrUndone()
    {
        await Page.GotoAsync(Node.Dashboard);
        var weight = Page.GetByLabel("Weight of backend1");
        await weight.FillAsync("7");
        await weight.PressAsync("Enter");
        await Expect(Page.Locator("#log")).ToContainTextAsync("web/backend1 has weight 7 instead of 1");

        await weight.FillAsync("1001");
        await weight.PressAsync("Enter");
        (await weight.EvaluateAsync<bool>("input => input.validity.rangeOverflow"))
            .Should().BeTrue("the browser refuses it before the node has to");
        await weight.PressAsync("Escape");
        await Expect(weight).ToHaveValueAsync("7");

        await Page.RouteAsync("**/backends/*", route =>
            route.FulfillAsync(new() { Status = 400, Body = "weight 8 is not valid; expected something else\n" }));
        await weight.FillAsync("8");
        await weight.PressAsync("Enter");
        await Expect(
            Page.Locator("#toast")).ToContainTextAsync("web/backend1 was not changed: weight 8 is not valid; expected something else");
        await Expect(weight).ToHaveValueAsync("7");
        await Page.UnrouteAllAsync();

        // Changes of one weight in a row are one, as when an arrow key is held down.
        await weight.FillAsync("9");
        await weight.PressAsync("Enter");
        await weight.PressAsync("ArrowUp");
        await Expect(Page.Locator("#toast")).ToContainTextAsync("web/backend1 has weight 10, had 7");
        await Page.GetByRole(AriaRole.Button, new() { Name = "Undo" }).ClickAsync();
        await Expect(weight).ToHaveValueAsync("7");
        await Expect(Page.GetByRole(AriaRole.Button, new() { Name = "Dismiss" })).ToBeFocusedAsync();
    }

    [Test]
    public async Task Node_StopsAndStartsAgain_PageSaysSoAndReconnects()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address]);
        await Page.GotoAsync(node.Dashboard);
        await Expect(Page.Locator("#connection")).ToContainTextAsync("Live");

        await node.KillAsync();
        await Expect(Page.Locator("#connection")).ToContainTextAsync("Disconnected since");
        await Page.GetByRole(AriaRole.Button, new() { Name = "Drain backend1" }).ClickAsync();
        await Page.GetByRole(AriaRole.Button, new() { Name = "Drain anyway" }).ClickAsync();
        await Expect(Page.Locator("#toast")).ToContainTextAsync("web/backend1 was not changed: the load balancer does not answer");

        await using var again = await node.StartAgainAsync();
        await Expect(Page.Locator("#connection")).ToContainTextAsync("Live");
    }

    [Test]
    public async Task Token_MissingWrongRightAndChanged_IsAskedFor()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address], "s3cret");
        await Page.GotoAsync(node.Dashboard);
        await LogInAsync("guess");
        await Expect(Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("This is not the token");
        await LogInAsync("s3cret");
        await Expect(Row("backend1")).ToBeVisibleAsync();

        await node.KillAsync();
        await using var again = await node.StartAgainAsync("other");
        await LogInAsync("other");
        await Expect(Row("backend1")).ToBeVisibleAsync();
    }

    [Test]
    public async Task Backends_ThatStandOut_AreNamedAndMarked()
    {
        await ShowAsync([Pool(
            "web", Backend("quick") with { P99Ms = 20 }, Backend("slow") with { P99Ms = 240 }, Backend("usual") with { P99Ms = 24 },
            Backend("gone") with { Healthy = false, Reason = "connection refused", P99Ms = null },
                Backend("resting") with { AdminState = "Draining", InFlight = 3, P99Ms = null })]);

        string[] findings = ["▼ down: gone", "▲ slow: slow (p99 12× the others)", "◐ draining: resting"];
        await Expect(Page.Locator(".findings li")).ToHaveTextAsync(findings);
        await Expect(Row("slow").Locator(".p99Ms")).ToHaveTextAsync("240 ms▲ 12× the others");
        await Expect(Row("gone").Locator(".healthy")).ToHaveTextAsync("▼ Downconnection refused");
        await Expect(Row("resting").Locator(".adminState")).ToContainTextAsync("3 to finish");
        await Expect(Page).ToHaveTitleAsync("▼ 1 down · LoadBalancer");
    }

    [Test]
    public async Task Rows_ComeAndGo_PageFollows()
    {
        await ShowAsync([Pool("tasks", Backend("worker1"), Backend("worker2"))]);
        await Expect(Row("worker1")).ToBeVisibleAsync();

        // The first stream ends now, and the page connects again.
        await ShowAsync([Pool("tasks", Backend("worker2"), Backend("worker3")), Pool("empty")], reload: false);

        await Expect(Row("worker3")).ToBeVisibleAsync();
        await Expect(Row("worker1")).ToHaveCountAsync(0);
        await Expect(Page.GetByRole(AriaRole.Region, new() { Name = "Pool empty" })).ToContainTextAsync("No backend has joined.");
    }

    [Test]
    public async Task Routes_ThatThereAre_AreShownWithTheirNumbers()
    {
        static object Route(string name, double errorShare) => new
        {
            listener = "web",
            name,
            requests = 1234,
            requestsPerSecond = 12.5,
            errorShare,
            p50Ms = 2.0,
            p99Ms = (double?)250,
        };
        await ShowAsync([], routes: [Route("<b>api</b>", 0.25), Route("", 0)], routeCount: 300);

        var rows = Page.Locator("#routes tr");
        await Expect(rows).ToHaveCountAsync(2);
        await Expect(rows.Nth(0)).ToHaveTextAsync("<b>api</b> web1325 %2.0 ms250 ms1,234");
        await Expect(rows.Nth(0).Locator(".errorShare")).ToHaveClassAsync("errorShare bad");
        await Expect(rows.Nth(1)).ToContainTextAsync("(no route) web");
        await Expect(Page.Locator("#routes-left-out")).ToHaveTextAsync("The 2 busiest of 300");
        Window.Complaints.Should().BeEmpty();

        await ShowAsync([]);

        await Expect(Page.Locator("#routes-card")).ToBeHiddenAsync();
    }

    [Test]
    public async Task Columns_OfWhichAPoolKnowsNothing_AreLeftOut()
    {
        await ShowAsync([new { name = "chat", policy = "First",
            backends = new[] { new { name = "logic1", healthy = true, reason = "", adminState = "Ready", inFlight = 3 } } }]);

        string[] columns = ["Backend", "Health", "Admin state", "In flight"];
        await Expect(Page.Locator(".backends").GetByRole(AriaRole.Columnheader)).ToHaveTextAsync(columns);
        await Expect(Page.Locator(".pool > header .numbers > div")).ToHaveCountAsync(0);
    }

    [TestCase(390)]
    [TestCase(800)]
    [TestCase(1280)]
    public async Task Page_OfAnyWidth_DoesNotScrollSideways(int width)
    {
        var longName = string.Concat(Enumerable.Repeat("ip-10-0-113-201.", 10));
        await Page.SetViewportSizeAsync(width, 800);
        await ShowAsync([Pool(
            longName, Backend(longName) with { Reason = longName, P99Ms = 123_456, RequestsPerSecond = 123_456 }, Backend("b"))]);
        await Expect(Row("b")).ToBeVisibleAsync();

        (await Page.EvaluateAsync<int>("document.documentElement.scrollWidth")).Should().Be(width);
    }

    [GeneratedRegex("^Main, HCHECK .* ago · no alternative · 0 clients · 1 workers$")]
    private static partial Regex BrokerLine();
}
