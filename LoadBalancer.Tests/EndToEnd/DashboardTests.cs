using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The dashboard in a real browser, in front of the real program.</summary>
[Platform(Exclude = "Win", Reason = "programs are stopped by POSIX signals here")]
[Category("Program")]
internal sealed partial class DashboardTests
{
    private Browser _browser = null!;
    private RawServer _backend = null!;
    private DashboardNode _node = null!;
    private BrowserWindow _window = null!;

    private IPage Page => _window.Page;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _browser = await Browser.StartAsync();
        _teller = await KestrelBackend.StartAsync(TellAsync, HttpProtocols.Http1);
        _backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        _node = await DashboardNode.StartAsync([_backend.Address, _backend.Address, _backend.Address]);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (_browser is not null)
        {
            await _node.DisposeAsync();
            await _backend.DisposeAsync();
            _ended.TrySetResult();
            await _teller.DisposeAsync();
            await _browser.DisposeAsync();
        }
    }

    [SetUp]
    public async Task OpenAsync() => _window = await _browser.OpenAsync();

    [TearDown]
    public async Task CloseAsync()
    {
        await _window.DisposeAsync();
        // What could not be loaded is for a test to say: a node that is away, a token that is wrong.
        _window.Complaints.Where(text => !text.StartsWith("Failed to load resource", StringComparison.Ordinal)).Should().BeEmpty();
    }

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
                Pools = new { web = new { Backends = new { b1 = new { Address = _backend.Address } } } },
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
    public async Task Page_Opened_ShowsEveryBackendAndComplainsAboutNothing()
    {
        await Page.GotoAsync(_node.Dashboard);

        await Expect(Page.GetByRole(AriaRole.Heading, new() { Name = "web" })).ToBeVisibleAsync();
        string[] columns = ["Backend", "Health", "Admin state", "Weight", "In flight", "Requests/s", "Errors", "p50", "p99",
            "Last 5 minutes"];
        await Expect(Page.GetByRole(AriaRole.Columnheader)).ToContainTextAsync(columns);
        foreach (var name in (string[])["backend1", "backend2", "backend3"])
        {
            await Expect(Row(name)).ToContainTextAsync(_backend.Address);
            await Expect(Row(name)).ToContainTextAsync("Up");
            await Expect(Row(name)).ToContainTextAsync("Ready");
            await Expect(Row(name).GetByRole(AriaRole.Img, new() { Name = $"{name}, last 5 minutes" })).ToBeVisibleAsync();
        }
        await Expect(Page.Locator("#connection")).ToContainTextAsync("Live");
        _window.Complaints.Should().BeEmpty();
    }

    [Test]
    public async Task Drain_ClickedUnderLoad_FailsNoRequestAndIsUndone()
    {
        await Page.GotoAsync(_node.Dashboard);
        await using var load = new Load(_node.Address);
        await load.AnsweredAsync(100);

        await Page.GetByRole(AriaRole.Button, new() { Name = "Drain backend2" }).ClickAsync();
        await Expect(Row("backend2")).ToContainTextAsync("Draining");
        await Expect(Row("backend2").Locator(".requestsPerSecond")).ToHaveTextAsync("0");
        await Expect(Page.Locator("#log")).ToContainTextAsync("web/backend2 was set to Draining");
        await load.AnsweredAsync(100);

        await Page.GetByRole(AriaRole.Button, new() { Name = "Undo" }).ClickAsync();
        await Expect(Row("backend2")).ToContainTextAsync("Ready");
        await Expect(Row("backend2").Locator(".requestsPerSecond")).Not.ToHaveTextAsync("0");
        await load.AnsweredAsync(100);

        load.Statuses.Should().OnlyContain(status => status == HttpStatusCode.OK);
    }

    [Test]
    public async Task Disable_ByKeyboardAlone_KeepsTheFocusAndIsUndone()
    {
        await Page.GotoAsync(_node.Dashboard);
        var disable = Page.GetByRole(AriaRole.Button, new() { Name = "Disable backend3" });

        await disable.PressAsync("Enter");
        await Expect(Row("backend3")).ToContainTextAsync("Disabled");
        await Expect(Row("backend3").GetByRole(AriaRole.Button).Last).ToBeFocusedAsync();

        await Page.Keyboard.PressAsync("Control+z");
        await Expect(Row("backend3")).ToContainTextAsync("Ready");
        await Expect(Page.Locator("#undo")).ToBeHiddenAsync();
    }

    [Test]
    public async Task Undo_BeforeTheChangeIsAnswered_TakesItBackAfterwards()
    {
        var release = new TaskCompletionSource();
        await Page.GotoAsync(_node.Dashboard);
        await Page.RouteAsync("**/backends/*", async route =>
        {
            var answer = await route.FetchAsync();
            await release.Task;
            await route.FulfillAsync(new() { Response = answer });
        });

        await Page.GetByRole(AriaRole.Button, new() { Name = "Disable backend3" }).ClickAsync();
        await Expect(Row("backend3")).ToContainTextAsync("Disabled");
        await Page.Keyboard.PressAsync("Control+z");
        release.SetResult();

        await Expect(Row("backend3")).ToContainTextAsync("Ready");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Weight_Changed_IsTakenUpRefusedOrUndone()
    {
        await Page.GotoAsync(_node.Dashboard);
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
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Node_StopsAndStartsAgain_PageSaysSoAndReconnects()
    {
        await using var node = await DashboardNode.StartAsync([_backend.Address]);
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
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Token_MissingWrongRightAndChanged_IsAskedFor()
    {
        await using var node = await DashboardNode.StartAsync([_backend.Address], "s3cret");
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
    public async Task Names_WithMarkup_AreShownAsText()
    {
        const string Markup = "<img src=x onerror=alert(1)>";
        await ShowAsync(
            [Pool(Markup, Backend(Markup) with { Reason = Markup, Address = Markup })],
            log: [new { time = "2026-11-27T08:00:00.000Z", pool = Markup, backend = Markup, text = Markup }],
            errors: [new { type = Markup, msg = Markup, timestamp = "2026-11-27T08:00:00.000Z" }]);

        await Expect(Row(Markup)).ToContainTextAsync(Markup);
        await Expect(Page.Locator("#log")).ToContainTextAsync($"{Markup}/{Markup} {Markup}");
        await Expect(Page.Locator("#errors")).ToContainTextAsync($"{Markup} {Markup}");
        await Expect(Page.Locator("main img")).ToHaveCountAsync(0);
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
        _window.Complaints.Should().BeEmpty();

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
