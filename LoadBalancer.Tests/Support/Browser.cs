using System.Collections.Concurrent;
using Microsoft.Playwright;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// The machine's Chromium, without a window. Nothing is downloaded: where there is none, the tests that want one are left out.
/// </summary>
internal sealed class Browser : IAsyncDisposable
{
    // The last ones keep the browser from contacting its vendor in the background.
    private static readonly string[] Arguments =
        ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"];

    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Browser(IPlaywright playwright, IBrowser browser) => (_playwright, _browser) = (playwright, browser);

    /// <summary>Starts it, or ignores the tests that are about to run.</summary>
    public static async Task<Browser> StartAsync()
    {
        string?[] candidates =
            [Environment.GetEnvironmentVariable("CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        if (candidates.FirstOrDefault(File.Exists) is not { } path)
        {
            Assert.Ignore("there is no Chromium here; install Debian's package chromium, or name one in the environment variable CHROMIUM");
            throw new InvalidOperationException(); // Ignore does not return.
        }
        Assertions.SetDefaultExpectTimeout((float)TimeLimits.Event.TotalMilliseconds);
        var playwright = await Playwright.CreateAsync();
        return new Browser(playwright, await playwright.Chromium.LaunchAsync(
            new BrowserTypeLaunchOptions { ExecutablePath = path, Args = Arguments }));
    }

    /// <summary>Opens a window of its own, with no cookie yet.</summary>
    public async Task<BrowserWindow> OpenAsync(
        int width = 1280, int height = 800, ColorScheme colors = ColorScheme.Light, bool hasTouch = false)
    {
        var context = await _browser.NewContextAsync(
            new BrowserNewContextOptions
            {
                ViewportSize = new ViewportSize { Width = width, Height = height },
                ColorScheme = colors,
                HasTouch = hasTouch,
            });
        context.SetDefaultTimeout((float)TimeLimits.Event.TotalMilliseconds);
        return new BrowserWindow(await context.NewPageAsync());
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }
}

/// <summary>
/// A page, and what it complained about on its console: exceptions, violations of its security policy, what it could not load.
/// </summary>
internal sealed class BrowserWindow : IAsyncDisposable
{
    public BrowserWindow(IPage page)
    {
        Page = page;
        page.PageError += (_, error) => Complaints.Enqueue(error);
        page.Dialog += (_, dialog) => Complaints.Enqueue("dialog: " + dialog.Message);
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
            {
                Complaints.Enqueue(message.Text);
            }
        };
    }

    public IPage Page { get; }

    public ConcurrentQueue<string> Complaints { get; } = [];

    public async ValueTask DisposeAsync() => await Page.Context.DisposeAsync();
}
