using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The dashboard in a real browser, in front of the real program: what an operator needs first.</summary>
internal sealed class DashboardTests : DashboardFixture
{
    [Test]
    public async Task Page_Opened_ShowsEveryBackendAndComplainsAboutNothing()
    {
        await Page.GotoAsync(Node.Dashboard);

        await Expect(Page.GetByRole(AriaRole.Heading, new() { Name = "web" })).ToBeVisibleAsync();
        string[] columns = ["Backend", "Health", "Admin state", "Weight", "In flight", "Requests/s", "Errors", "p50", "p99",
            "Last 5 minutes"];
        await Expect(Page.GetByRole(AriaRole.Columnheader)).ToContainTextAsync(columns);
        foreach (var name in (string[])["backend1", "backend2", "backend3"])
        {
            await Expect(Row(name)).ToContainTextAsync(Server.Address);
            await Expect(Row(name)).ToContainTextAsync("Up");
            await Expect(Row(name)).ToContainTextAsync("Ready");
            await Expect(Row(name).GetByRole(AriaRole.Img, new() { Name = $"{name}, last 5 minutes" })).ToBeVisibleAsync();
        }
        await Expect(Page.Locator("#connection")).ToContainTextAsync("Live");
        Window.Complaints.Should().BeEmpty();
    }

    [Test]
    public async Task Drain_ClickedUnderLoad_FailsNoRequestAndIsUndone()
    {
        await Page.GotoAsync(Node.Dashboard);
        await using var load = new Load(Node.Address);
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
        await Page.GotoAsync(Node.Dashboard);
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
        await Page.GotoAsync(Node.Dashboard);
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
    public async Task Drain_OfTheLastThatServes_AsksFirst()
    {
        await using var node = await DashboardNode.StartAsync([Server.Address, Server.Address]);
        await Page.GotoAsync(node.Dashboard);
        await Page.GetByRole(AriaRole.Button, new() { Name = "Disable backend1" }).ClickAsync();
        await Expect(Row("backend1")).ToContainTextAsync("Disabled");
        var drain = Page.GetByRole(AriaRole.Button, new() { Name = "Drain backend2" });

        await drain.ClickAsync();
        var question = Page.GetByRole(AriaRole.Alertdialog);
        await Expect(question).ToContainTextAsync("backend2 is the last backend of pool web that serves.");
        await Expect(question.GetByRole(AriaRole.Button, new() { Name = "Cancel" })).ToBeFocusedAsync();
        await Page.Keyboard.PressAsync("Escape");
        await Expect(question).ToBeHiddenAsync();
        await Expect(Row("backend2")).ToContainTextAsync("Ready");

        await drain.ClickAsync();
        await question.GetByRole(AriaRole.Button, new() { Name = "Drain anyway" }).ClickAsync();
        await Expect(Row("backend2")).ToContainTextAsync("Draining");
        await Expect(Page.Locator("#connection")).ToContainTextAsync("no backend can serve in web");
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
}
