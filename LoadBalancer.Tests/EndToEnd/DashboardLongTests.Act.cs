using System.Globalization;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What an operator does with several backends, before harm, by keyboard, and on a phone; and what is shown of one.</summary>
internal sealed partial class DashboardLongTests
{
    private const string Odd = "b 2/ü\"<x>";
    private static readonly int[] Bounds = [10, 20]; // of response times, in ms

    [Test]
    public async Task Backends_OfAHost_AreDrainedAtOnceAndComeBackAtOnce()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address, Server.Address, Server.Address, "http://127.0.0.2:9"]);
        await Page.GotoAsync(node.Dashboard);
        await Page.GetByRole(AriaRole.Button, new() { Name = "backend1", Exact = true }).ClickAsync();
        await Page.GetByRole(AriaRole.Button, new() { Name = "Choose all 3 of host 127.0.0.1" }).ClickAsync();
        await Page.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();
        await Page.GetByLabel("Choose backend3").UncheckAsync();
        var chosen = Page.GetByRole(AriaRole.Group, new() { Name = "The chosen backends" });
        await Expect(chosen).ToContainTextAsync("2 chosen");

        await chosen.GetByRole(AriaRole.Button, new() { Name = "Drain" }).ClickAsync();
        await Expect(Page.Locator("#toast")).ToContainTextAsync("2 backends: each is Draining.");
        await Expect(Row("backend2")).ToContainTextAsync("Draining");
        await Expect(Row("backend3")).ToContainTextAsync("Ready");
        await Page.GetByRole(AriaRole.Button, new() { Name = "Undo" }).ClickAsync();
        await Expect(Row("backend1")).ToContainTextAsync("Ready");
        await Expect(Page.Locator("#toast")).ToContainTextAsync("2 backends are as they were before.");
        await chosen.GetByLabel("Weight").FillAsync("5");
        await chosen.GetByRole(AriaRole.Button, new() { Name = "Set" }).ClickAsync();
        await Expect(Page.GetByLabel("Weight of backend1")).ToHaveValueAsync("5");
        await Expect(Page.GetByLabel("Weight of backend3")).ToHaveValueAsync("1");
    }

    [Test]
    public async Task Keys_FromSearchToDrain_AreFewerThanTen()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address, Server.Address]);
        await Page.GotoAsync(node.Dashboard);
        await Expect(Row("backend2")).ToBeVisibleAsync();

        string[] keys = ["/", "e", "n", "d", "2", "Enter", "Tab", "Enter"];
        foreach (var key in keys)
        {
            await Page.Keyboard.PressAsync(key);
        }

        await Expect(Row("backend2")).ToContainTextAsync("Draining");
    }

    [Test]
    public async Task Phone_ThatIsTouched_DrainsABackend()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address, Server.Address]);
        await using var phone = await Browser.OpenAsync(width: 390, height: 844, hasTouch: true);
        await phone.Page.GotoAsync(node.Dashboard);

        var drain = phone.Page.GetByRole(AriaRole.Button, new() { Name = "Drain backend2" });
        await drain.TapAsync();
        await Expect(phone.Page.Locator("#toast")).ToContainTextAsync("web/backend2 is Draining, was Ready.");
        (await drain.CountAsync()).Should().Be(0, "it offers to bring it back");
        (await phone.Page.EvaluateAsync<int>("document.documentElement.scrollWidth")).Should().Be(390);
    }

    [Test]
    public async Task Backend_ThatIsDown_SaysSinceWhenAndWhyAndHowItsAttemptsFailed()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address, $"http://127.0.0.1:{ReservedPorts.Next()}"]);
        await Page.GotoAsync(node.Dashboard);
        await Expect(Row("backend2")).ToContainTextAsync("Down");

        await Page.GetByRole(AriaRole.Button, new() { Name = "backend2", Exact = true }).ClickAsync();

        var details = Page.GetByRole(AriaRole.Dialog, new() { Name = "web/backend2" });
        await Expect(details).ToContainTextAsync("Down since");
        await Expect(details).ToContainTextAsync("Last probe▼ connection refused");
        await Expect(details).ToContainTextAsync("Failures0");
        await Page.Keyboard.PressAsync("Escape");
        await Expect(details).ToBeHiddenAsync();
        await Expect(Page.GetByRole(AriaRole.Button, new() { Name = "backend2", Exact = true })).ToBeFocusedAsync();
    }

    [Test]
    public async Task Errors_OfTheLastHour_AreGroupedAndResponseTimesAreAMap()
    {
        await using var failing = RawServer.Answering("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno");
        using var folder = new TemporaryDirectory();
        var (address, dashboard) = ($"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}");
        await using var node = await StartAsync(folder, new
        {
            LoadBalancer = new
            {
                Listeners = new { web = new { Address = address, Pool = "web" } },
                Pools = new { web = new { Backends = new { backend1 = new { failing.Address } } } },
                Management = new { Address = dashboard },
            },
        });
        using var client = new HttpClient();
        for (var i = 0; i < 3; i++)
        {
            (await client.GetAsync(new Uri(address))).Dispose();
        }
        await Page.GotoAsync(dashboard);

        var row = Page.Locator("#error-groups tbody tr");
        await Expect(row).ToContainTextAsync("500 backend response");
        await Expect(row).ToContainTextAsync("web/backend1");
        await Expect(row).ToContainTextAsync("the backend answered 500");
        await Page.GetByLabel("Group by").SelectOptionAsync("backend");
        await Expect(row).ToContainTextAsync("web/backend1");

        await Page.GetByRole(AriaRole.Button, new() { Name = "Response times" }).ClickAsync();
        await Expect(Page.Locator(".reading")).ToContainTextAsync(new Regex("responses?.*; . errors?"));
        await Eventually.BeTrueAsync(async () => await ReadMapAsync() == (3, 3), "the map has 3 responses and 3 errors");
        await Page.GetByRole(AriaRole.Button, new() { Name = "24 hours" }).ClickAsync();
        await Expect(Page.Locator(".reading")).ToContainTextAsync(new Regex("0:00 to ..:.0:00: ")); // steps of ten minutes
        await Eventually.BeTrueAsync(async () => await ReadMapAsync() == (3, 3), "the map has 3 responses and 3 errors");
    }

    // In all steps together: the clock decides in which of them a response is.
    private async Task<(int Responses, int Errors)> ReadMapAsync()
    {
        var (responses, errors) = (0, 0);
        var map = Page.GetByRole(AriaRole.Slider);
        await map.PressAsync("Home");
        for (var step = 0; step <= Number(await map.GetAttributeAsync("aria-valuemax"), "(.*)"); step++)
        {
            var text = await map.GetAttributeAsync("aria-valuetext");
            responses += Number(text, "([0-9]+) response");
            errors += Number(text, "([0-9]+) error");
            await map.PressAsync("ArrowRight");
        }
        return (responses, errors);

        static int Number(string? text, string pattern) =>
            Regex.Match(text!, pattern) is { Success: true } match ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
    }

    [Test]
    public async Task ResponseTimes_NewestStepIsEmpty_ReadsTheLastInWhichSomethingHappened()
    {
        static object Step(int second, int count) => new
        {
            start = $"2026-11-27T08:00:{second:00}.000Z",
            counts = new[] { 0, count },
            p50Ms = count > 0 ? 15.0 : (double?)null,
            p90Ms = count > 0 ? 16.0 : (double?)null,
            p99Ms = count > 0 ? 17.0 : (double?)null,
            errors = 0,
        };
        await ShowAsync([Pool("web", Backend("a"))]);
        await Page.RouteAsync("**/latency*", route => route.FulfillAsync(new()
        {
            Json = new
            {
                pool = "web",
                span = "5m",
                stepSeconds = 5,
                columns = 60,
                boundsMs = Bounds,
                steps = new[] { Step(0, 3), Step(5, 0) },
            },
        }));

        await Page.GetByRole(AriaRole.Button, new() { Name = "Response times" }).ClickAsync();

        await Expect(Page.Locator(".reading")).ToContainTextAsync(":05: 3 responses, p50 15 ms");
        await Page.GetByRole(AriaRole.Slider).PressAsync("ArrowRight");
        await Expect(Page.Locator(".reading")).ToContainTextAsync(":10: 0 responses");
    }

    [Test]
    public async Task Names_ThatAreOdd_AreShownAndChangedEverywhere()
    {
        using var folder = new TemporaryDirectory();
        var (address, dashboard) = ($"http://127.0.0.1:{ReservedPorts.Next()}", $"http://127.0.0.1:{ReservedPorts.Next()}");
        var listener = new { Address = address, Pool = Odd, Routes = new[] { new { Name = Odd, Path = "/", Pool = Odd } } };
        var backend = new { Address = $"http://127.0.0.1:{ReservedPorts.Next()}" };
        await using var node = await StartAsync(folder, new
        {
            LoadBalancer = new
            {
                Listeners = new Dictionary<string, object> { [Odd] = listener },
                Pools = new Dictionary<string, object>
                {
                    [Odd] = new { Backends = new Dictionary<string, object> { [Odd] = backend, ["b1"] = backend } },
                },
                Management = new { Address = dashboard },
            },
        });
        using var client = new HttpClient();
        (await client.GetAsync(new Uri(address))).Dispose();
        await Page.GotoAsync(dashboard);

        await Page.GetByRole(AriaRole.Button, new() { Name = $"Drain {Odd}" }).ClickAsync();
        await Page.GetByRole(AriaRole.Button, new() { Name = "Undo" }).ClickAsync();
        await Expect(Page.Locator("#toast")).ToContainTextAsync($"{Odd}/{Odd} is as it was before.");
        await Page.GetByRole(AriaRole.Searchbox).FillAsync(Odd);
        await Expect(Names.First).ToHaveTextAsync(Odd);
        await Expect(Page.Locator("#routes")).ToContainTextAsync(Odd);
        await Expect(Page.Locator("#error-groups")).ToContainTextAsync(Odd);
        await Expect(Page.Locator("#log")).ToContainTextAsync($"{Odd}/{Odd} was set to Draining");
        await Names.First.ClickAsync();
        await Expect(Page.Locator("#details-facts")).ToContainTextAsync("connection refused");
    }

    [Test]
    public async Task Pools_OfEachProtocol_HaveTheirOwnColumns()
    {
        using var folder = new TemporaryDirectory();
        string Address(string scheme) => $"{scheme}://127.0.0.1:{ReservedPorts.Next()}";
        var dashboard = Address("http");
        await using var node = await StartAsync(folder, new
        {
            LoadBalancer = new
            {
                Listeners = new
                {
                    web = new { Address = Address("http"), Pool = "web" } as object,
                    relay = new { Protocol = "Tcp", Address = Address("tcp"), Pool = "relay" },
                    tasks = new { Protocol = "Tasks", Address = Address("tcp"), WorkerAddress = Address("tcp"), Pool = "tasks" },
                },
                Pools = new
                {
                    web = new { Backends = new { b1 = new { Server.Address } } } as object,
                    relay = new { Backends = new { b1 = new { Address = Address("tcp") } } },
                    tasks = new { },
                },
                Management = new { Address = dashboard },
            },
        });

        await Page.GotoAsync(dashboard);

        ILocator PoolOf(string name) => Page.GetByRole(AriaRole.Region, new() { Name = $"Pool {name}", Exact = true });
        await Expect(PoolOf("web").GetByRole(AriaRole.Columnheader)).ToContainTextAsync(["Requests/s", "p99"]);
        await Expect(PoolOf("relay").GetByRole(AriaRole.Columnheader)).ToContainTextAsync(["Connections/s", "In", "Out"]);
        await Expect(PoolOf("relay").GetByRole(AriaRole.Button, new() { Name = "Response times" })).ToBeHiddenAsync();
        await Expect(PoolOf("tasks")).ToContainTextAsync("No backend has joined.");
        Window.Complaints.Should().BeEmpty();
    }
}
