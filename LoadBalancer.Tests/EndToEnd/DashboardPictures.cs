using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// Takes the pictures of docs/dashboard.md: three backends under load for five minutes, one of them slow; it is drained, and the 99th
/// percentile falls. Takes six minutes:
/// <c>dotnet test LoadBalancer.Tests --filter "Name=Pictures_OfTheStory_AreTaken" -- NUnit.ExplicitMode=Relaxed</c>
/// </summary>
[Explicit("takes minutes")]
internal sealed class DashboardPictures
{
    private static readonly string Docs = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../docs"));

    [Test]
    [TimeLimit(900)]
    public async Task Pictures_OfTheStory_AreTaken()
    {
        await using var browser = await Browser.StartAsync();
        await using var backend1 = await ServeAsync(2, 8);
        await using var backend2 = await ServeAsync(300, 420);
        await using var backend3 = await ServeAsync(3, 9);
        await using var node = await DashboardNode.StartAsync([backend1.Address, backend2.Address, backend3.Address]);
        await using var load = new Load(node.Address, TimeSpan.FromMilliseconds(10));
        await Task.Delay(TimeSpan.FromMinutes(5), TimeProvider.System);

        await using (var map = await browser.OpenAsync(height: 1000))
        {
            await map.Page.GotoAsync(node.Dashboard);
            await map.Page.GetByRole(AriaRole.Button, new() { Name = "Response times" }).ClickAsync();
            await map.Page.GetByRole(AriaRole.Button, new() { Name = "backend2", Exact = true }).ClickAsync();
            await Expect(map.Page.Locator("#details-facts")).ToContainTextAsync("2xx");
            await map.Page.GetByRole(AriaRole.Slider).HoverAsync(new() { Position = new() { X = 300, Y = 60 } });
            await TakeAsync(map, node, "dashboard-why.png", isOpen: true);
        }
        await using (var dark = await browser.OpenAsync(colors: ColorScheme.Dark))
        {
            await TakeAsync(dark, node, "dashboard-dark.png");
        }
        await using (var phone = await browser.OpenAsync(width: 390, height: 1100))
        {
            await TakeAsync(phone, node, "dashboard-phone.png");
        }
        await using var window = await browser.OpenAsync(height: 720);
        await TakeAsync(window, node, "dashboard.png");

        await window.Page.GetByRole(AriaRole.Button, new() { Name = "Drain backend2" }).ClickAsync();
        await window.Page.Mouse.MoveAsync(0, 0);
        await Expect(window.Page.Locator("#totals .p99Ms dd"))
            .ToHaveTextAsync(new Regex(@"^\d{1,2}(\.\d)? ms"), new() { Timeout = 60_000 });
        await TakeAsync(window, node, "dashboard-drained.png", isOpen: true);

        await window.Page.GetByRole(AriaRole.Button, new() { Name = "Copy" }).ClickAsync();
        await Expect(window.Page.Locator("#copied")).ToHaveTextAsync("Copied.");
        await window.Page.SetViewportSizeAsync(1280, 1250);
        await window.Page.Locator("#log").EvaluateAsync("log => window.scrollBy(0, log.getBoundingClientRect().top - 120)");
        await TakeAsync(window, node, "dashboard-tell.png", isOpen: true);
    }

    private static async Task TakeAsync(BrowserWindow window, DashboardNode node, string name, bool isOpen = false)
    {
        if (!isOpen)
        {
            await window.Page.GotoAsync(node.Dashboard);
        }
        await Expect(window.Page.GetByText("p99 ≤").First).ToBeVisibleAsync();
        await Task.Delay(TimeSpan.FromSeconds(15), TimeProvider.System); // Opening a page has taken the processor from all the others.
        await window.Page.ScreenshotAsync(new() { Path = Path.Combine(Docs, name) });
    }

    private static Task<KestrelBackend> ServeAsync(int from, int to) => KestrelBackend.StartAsync(
        async context =>
        {
            await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(from, to)), TimeProvider.System);
            await context.Response.WriteAsync("ok\n");
        },
        HttpProtocols.Http1);
}
