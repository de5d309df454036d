using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Search, filters, order, folding, and how many rows there are.</summary>
internal sealed partial class DashboardLongTests
{
    private ILocator Names => Page.Locator(".rows:visible button.open");

    [Test]
    public async Task Pools_ThatAreBroken_ComeFirstAndAreWhereTheHeadlineLeads()
    {
        await ShowAsync([
            Pool("fine", Backend("a")),
            Pool("partly", Backend("b"), Backend("c") with { Healthy = false }),
            Pool("broken", Backend("d") with { Healthy = false }, Backend("e") with { AdminState = "Disabled" }),
        ], status: "unavailable");

        await Expect(Page.Locator(".pool h2")).ToHaveTextAsync(["broken", "partly", "fine"]);
        await Expect(Page.Locator("#connection")).ToHaveTextAsync("▼ Live: no backend can serve in broken, some are down in partly");
        await Page.GetByRole(AriaRole.Link, new() { Name = "partly" }).ClickAsync();
        await Expect(Page.GetByRole(AriaRole.Button, new() { Name = "partly", Exact = true })).ToBeFocusedAsync();
        await Expect(Names.Nth(2)).ToHaveTextAsync("c");
    }

    [Test]
    public async Task Search_AndFilters_LeaveWhatIsLookedFor()
    {
        await ShowAsync([
            Pool("web", Backend("web1"), Backend("web2") with { Healthy = false, Reason = "connection refused" }),
            Pool("shop", Backend("shop1") with { Address = "http://10.0.0.7:80" }, Backend("shop2") with { ErrorShare = 0.5 }),
        ]);
        await Expect(Names).ToHaveCountAsync(4);

        await Page.GetByRole(AriaRole.Searchbox).FillAsync("10.0.0.7 SHOP");
        await Expect(Names).ToHaveTextAsync(["shop1"]);
        await Expect(Page.Locator("#found")).ToHaveTextAsync("1 of 4 backends, in 1 pool");
        await Page.GetByRole(AriaRole.Searchbox).FillAsync("refused");
        await Expect(Names).ToHaveTextAsync(["web2"]);
        await Page.GetByRole(AriaRole.Searchbox).PressAsync("Escape");

        await Page.GetByRole(AriaRole.Button, new() { Name = "▼ Down 1" }).ClickAsync();
        await Expect(Names).ToHaveTextAsync(["web2"]);
        await Page.GetByRole(AriaRole.Button, new() { Name = "✕ Errors 1" }).ClickAsync();
        await Expect(Names).ToHaveTextAsync(["web2", "shop2"]);
        await Page.GetByRole(AriaRole.Button, new() { Name = "▼ Down 1" }).ClickAsync();
        await Expect(Names).ToHaveTextAsync(["shop2"]);
    }

    [Test]
    public async Task Head_Clicked_SortsBothWaysAndThenTheWorstFirstAgain()
    {
        await ShowAsync([Pool("web", Backend("b10") with { InFlight = 3 }, Backend("b9") with { InFlight = 7 },
            Backend("b1") with { Healthy = false })]);
        await Expect(Names).ToHaveTextAsync(["b1", "b10", "b9"]);
        var (inFlight, name) = (Head("In flight"), Head("Backend"));

        await inFlight.ClickAsync();
        await Expect(Names).ToHaveTextAsync(["b9", "b10", "b1"]);
        await Expect(Page.Locator("th[aria-sort]")).ToHaveAttributeAsync("aria-sort", "descending");
        await inFlight.ClickAsync();
        await Expect(Names).ToHaveTextAsync(["b1", "b10", "b9"]);
        await inFlight.ClickAsync();
        await Expect(Page.Locator("th[aria-sort]")).ToHaveCountAsync(0);
        await name.ClickAsync();
        await Expect(Names).ToHaveTextAsync(["b1", "b9", "b10"]);

        ILocator Head(string text) => Page.GetByRole(AriaRole.Columnheader).GetByRole(AriaRole.Button, new() { Name = text });
    }

    [Test]
    public async Task Pools_OfTwoHundredBackends_FoldWhereAllIsWell()
    {
        object Five(int number, bool isFine) => Pool($"pool{number}", [.. Enumerable.Range(1, 5)
            .Select(i => Backend($"p{number}b{i}") with { Healthy = isFine || i > 1 })]);
        await ShowAsync([.. Enumerable.Range(1, 40).Select(number => Five(number, number != 33))]);

        await Expect(Page.Locator(".pool h2").First).ToHaveTextAsync("pool33");
        await Expect(Names).ToHaveCountAsync(5);
        (await Page.EvaluateAsync<int>("document.documentElement.scrollHeight")).Should().BeLessThan(9000);
        await Page.GetByRole(AriaRole.Button, new() { Name = "pool1", Exact = true }).ClickAsync();
        await Expect(Names).ToHaveCountAsync(10);
        await Page.GetByRole(AriaRole.Searchbox).FillAsync("p17b3");
        await Expect(Names).ToHaveTextAsync(["p17b3"]);
    }

    [Test]
    public async Task Page_OfNoPool_SaysSo()
    {
        await ShowAsync([]);

        await Expect(Page.Locator("#no-pools")).ToBeVisibleAsync();
        await Expect(Page.Locator("#find")).ToBeHiddenAsync();
    }

    [TestCase(1280)]
    [TestCase(390)]
    public async Task Page_OfAThousandBackends_HasRowsOnlyForWhatIsSeen(int width)
    {
        await Page.SetViewportSizeAsync(width, 800);
        await ShowAsync([Pool("web", [.. Enumerable.Range(1, 1000).Select(i => Backend($"b{i}"))])]);
        await Expect(Row("b1")).ToBeVisibleAsync();
        var rows = Page.Locator(".backends tbody tr");
        (await rows.CountAsync()).Should().BeLessThan(40);
        await Expect(Page.Locator("table.backends")).ToHaveAttributeAsync("aria-rowcount", "1001");

        await Page.Locator(".rows").EvaluateAsync("rows => rows.scrollTop = rows.scrollHeight");
        await Expect(Row("b1000")).ToBeVisibleAsync();
        await Expect(Row("b1000")).ToHaveAttributeAsync("aria-rowindex", "1001");
        (await rows.CountAsync()).Should().BeLessThan(40);
    }

    /// <summary>The real program in front of a thousand backends that all answer: what it sends, and how soon the page is there.</summary>
    [Test]
    [TimeLimit(120)]
    public async Task Stream_OfAThousandBusyBackends_IsSmallAndThePageIsThereSoon()
    {
        using var folder = new TemporaryDirectory();
        var (address, dashboard) = ($"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}");
        await using var node = await StartAsync(folder, new
        {
            LoadBalancer = new
            {
                Listeners = new { web = new { Address = address, Pool = "web" } },
                Pools = new
                {
                    web = new { Backends = Enumerable.Range(1, 1000).ToDictionary(i => $"b{i}", _ => new { Server.Address }) },
                },
                Management = new { Address = dashboard },
            },
        });
        await using var load = new Load(address);
        await load.AnsweredAsync(2000);
        var session = await Page.Context.NewCDPSessionAsync(Page);
        await session.SendAsync("Network.enable");
        var received = 0.0;
        session.Event("Network.dataReceived").OnEvent += (_, data) => received += data!.Value.GetProperty("dataLength").GetDouble();

        await Page.GotoAsync(dashboard);
        await Expect(Names.First).ToBeVisibleAsync();
        var painted = await Page.EvaluateAsync<double>("performance.getEntriesByName('first-contentful-paint')[0].startTime");
        await Task.Delay(TimeSpan.FromSeconds(3), TimeProvider.System); // What is sent once has come.
        var before = received;
        await Task.Delay(TimeSpan.FromSeconds(10), TimeProvider.System);

        TestContext.Out.WriteLine($"{(received - before) / 10_000:F1} KB/s; the first paint came after {painted:F0} ms");
        ((received - before) / 10).Should().BeLessThan(100_000, "bytes in a second");
        (await Page.Locator(".backends tbody tr").CountAsync()).Should().BeLessThan(40);
    }
}
