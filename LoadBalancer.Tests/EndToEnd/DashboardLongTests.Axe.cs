using System.Text.Json;
using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What axe-core says about every view: <c>npm install --prefix artifacts/npm axe-core</c> puts it where it is found.</summary>
internal sealed partial class DashboardLongTests
{
    private static readonly string AxeFile = Path.Combine(Repository.Root, "artifacts/npm/node_modules/axe-core/axe.min.js");

    [TestCase(ColorScheme.Light, 1280)]
    [TestCase(ColorScheme.Dark, 1280)]
    [TestCase(ColorScheme.Light, 390)]
    [TestCase(ColorScheme.Dark, 390)]
    public async Task Views_CheckedByAxe_HaveNoViolation(ColorScheme colors, int width)
    {
        if (!File.Exists(AxeFile))
        {
            Assert.Ignore("there is no axe-core here; npm install --prefix artifacts/npm axe-core");
        }
        await using var window = await Browser.OpenAsync(width, 900, colors);
        var page = window.Page;
        await ShowAsync(
            [
                Pool("broken", Backend("d") with { Healthy = false, P99Ms = null }),
                Pool("web", Backend("a") with { P99Ms = 300 }, Backend("b"), Backend("c") with { ErrorShare = 0.5 },
                    Backend("e") with { AdminState = "Draining" }, Backend("f") with { AdminState = "Disabled" }),
            ],
            log: [new { time = "2026-11-27T08:00:00.000Z", pool = "web", backend = "a", text = "is up" }],
            errors: [new { type = "502_BAD_GATEWAY", msg = "pool 'web': why", timestamp = "2026-11-27T08:00:00.000Z" }],
            routes: [new { listener = "web", name = "api", requests = 1, requestsPerSecond = 1, errorShare = 0.5, p50Ms = 1, p99Ms = 2 }],
            status: "unavailable", page: page);
        await ShowClusterAsync(page, isConnected: width > 1000);
        await Expect(page.Locator("#nodes tr")).ToHaveCountAsync(3);
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Drain d" })).ToBeVisibleAsync();
        await CheckAsync(page, "the page");

        await page.GetByRole(AriaRole.Button, new() { Name = "Response times" }).First.ClickAsync();
        await page.GetByLabel("Choose d").CheckAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Slow" }).ClickAsync();
        await page.GetByRole(AriaRole.Searchbox).FillAsync("web");
        await page.GetByRole(AriaRole.Searchbox).PressAsync("Enter"); // Rows that are far from what is seen do not exist.
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "a", Exact = true })).ToBeFocusedAsync();
        await CheckAsync(page, "what is found, with a map of response times and backends that are chosen");

        await page.GetByRole(AriaRole.Button, new() { Name = "a", Exact = true }).ClickAsync();
        await CheckAsync(page, "a backend");
        await page.GetByRole(AriaRole.Button, new() { Name = "Close" }).ClickAsync();

        await page.GetByRole(AriaRole.Group, new() { Name = "The chosen backends" }).GetByRole(AriaRole.Button, new() { Name = "Disable" })
            .ClickAsync();
        await CheckAsync(page, "the change that failed"); // That backend is not really there.

        await using var guarded = await DashboardNode.StartAsync([Server.Address], "s3cret");
        await page.UnrouteAllAsync(new() { Behavior = UnrouteBehavior.IgnoreErrors });
        await page.GotoAsync(guarded.Dashboard);
        await Expect(page.GetByLabel("Token")).ToBeVisibleAsync();
        await CheckAsync(page, "the login");
    }

    private static async Task CheckAsync(IPage page, string view)
    {
        // Its policy lets no script into the page but its own, except through the debugger.
        await page.EvaluateAsync(await File.ReadAllTextAsync(AxeFile));
        var found = await page.EvaluateAsync<JsonElement>(
            "axe.run(document, { resultTypes: ['violations'] }).then(result => result.violations.map(({ id, nodes }) => "
            + "`${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join(' | ')}`))");
        found.EnumerateArray().Select(violation => violation.GetString()).Should().BeEmpty("axe-core checked {0}", view);
    }
}
