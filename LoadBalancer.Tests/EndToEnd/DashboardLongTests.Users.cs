using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Who may do what, and who has done what.</summary>
internal sealed partial class DashboardLongTests
{
    private const string OperatorToken = "operator-0123456789";
    private const string ViewerToken = "viewer-0123456789";

    [Test]
    public async Task Viewer_LoggedIn_SeesEverythingAndHasNothingThatActs()
    {
        using var folder = new TemporaryDirectory();
        await File.WriteAllTextAsync(folder.File("operator"), OperatorToken);
        await File.WriteAllTextAsync(folder.File("viewer"), ViewerToken);
        var dashboard = $"http://127.0.0.1:{ReservedPorts.Next()}";
        await using var node = await StartAsync(folder, new
        {
            LoadBalancer = new
            {
                Listeners = new { web = new { Address = $"http://127.0.0.1:{ReservedPorts.Next()}", Pool = "web" } },
                Pools = new { web = new { Backends = new { b1 = new { Server.Address }, b2 = new { Server.Address } } } },
                Management = new
                {
                    Address = dashboard,
                    Tokens = new
                    {
                        anna = new { TokenFile = folder.File("operator"), Role = "Operator" },
                        screen = new { TokenFile = folder.File("viewer"), Role = "Viewer" },
                    },
                },
            },
        });
        await Page.GotoAsync(dashboard);
        await LogInAsync(OperatorToken);
        await Page.GetByRole(AriaRole.Button, new() { Name = "Drain b2" }).ClickAsync();
        await Expect(Page.Locator("#audit")).ToContainTextAsync("anna from 127.0.0.1 · web/b2 adminState Ready → Draining");

        await using var window = await Browser.OpenAsync();
        var page = window.Page;
        await page.GotoAsync(dashboard);
        await page.GetByLabel("Token").FillAsync(ViewerToken);
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
        await Expect(page.Locator("#node-facts")).ToContainTextAsync("screen, Viewer");
        await Expect(page.Locator("#audit")).ToContainTextAsync("anna from 127.0.0.1 · web/b2 adminState Ready → Draining");
        await page.GetByRole(AriaRole.Button, new() { Name = "b1", Exact = true }).ClickAsync(); // its panel has buttons too
        await Expect(page.Locator("#details-facts")).ToContainTextAsync(Server.Address);

        string[] acting = ["Drain b1", "Disable b1", "Bring back b2", "Disable b2"];
        foreach (var name in acting)
        {
            foreach (var button in await page.GetByRole(AriaRole.Button, new() { Name = name }).AllAsync())
            {
                await Expect(button).ToBeDisabledAsync();
            }
        }
        await Expect(page.GetByLabel("Weight of b1").First).ToBeDisabledAsync();
        await Expect(page.GetByLabel("Choose b1")).ToBeDisabledAsync();
        await Expect(page.Locator("#chosen, #undo, #choose-found").Filter(new() { Visible = true })).ToHaveCountAsync(0);
        await page.Keyboard.PressAsync("Control+z");
        (await page.EvaluateAsync<int>(
            "fetch('/api/pools/web/backends/b1', { method: 'PATCH', body: '{\"weight\":2}' }).then(answer => answer.status)"))
            .Should().Be(403, "the page is not what protects the node");
    }

    [Test]
    public async Task Audit_OfChangesAndRefusals_SaysWhoFromWhereWhat()
    {
        static object Entry(int id, string action, object? from, object? to, string result = "done", string? error = null) => new
        {
            id,
            time = "2026-11-27T08:00:00.000Z",
            user = "<i>anna</i>",
            address = "192.0.2.7",
            action,
            pool = action == "reload" ? null : "web",
            backend = action == "reload" ? null : "b1",
            from,
            to,
            result,
            error,
        };
        object? old = new { address = "http://10.0.0.1/", weight = 1, adminState = "Ready" };
        object? now = new { address = "http://10.0.0.1/", weight = 5, adminState = "Draining" };
        await ShowAsync([Pool("web", Backend("b1"))]);
        await Page.RouteAsync("**/api/audit*", route => route.FulfillAsync(new()
        {
            Json = new
            {
                entries = new[]
                {
                    Entry(6, "patch", null, null, "refused", "this node is not connected to etcd"), Entry(5, "undo", now, old),
                    Entry(4, "patch", old, now), Entry(3, "delete", old, null), Entry(2, "put", null, old), Entry(1, "reload", null, null),
                },
            },
        }));
        await Page.ReloadAsync();

        const string Head = "<i>anna</i> from 192.0.2.7 · ";
        await Expect(Page.Locator("#audit li")).ToContainTextAsync([
            Head + "web/b1 change: refused, this node is not connected to etcd",
            Head + "web/b1 undo: weight 5 → 1, adminState Draining → Ready",
            Head + "web/b1 weight 1 → 5, adminState Ready → Draining",
            Head + "web/b1 removed",
            Head + "web/b1 added: address http://10.0.0.1/, weight 1, adminState Ready",
            Head + "the node reload of the configuration file",
        ]);
        await Expect(Page.Locator("#audit")).Not.ToContainTextAsync("undefined");
    }
}
