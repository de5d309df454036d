using System.Text.Json;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Playwright;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// What all tests of the dashboard use: a real browser in front of the real program, the parts of the page, and a node that tells what a
/// test wants.
/// </summary>
[Platform(Exclude = "Win", Reason = "programs are stopped by POSIX signals here")]
[Category("Program")]
internal abstract class DashboardFixture
{
    private KestrelBackend _teller = null!;
    private volatile string _told = "";
    private TaskCompletionSource _ended = new();

    protected Browser Browser { get; private set; } = null!;

    protected RawServer Server { get; private set; } = null!;

    protected DashboardNode Node { get; private set; } = null!;

    protected BrowserWindow Window { get; private set; } = null!;

    protected IPage Page => Window.Page;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        Browser = await Browser.StartAsync();
        _teller = await KestrelBackend.StartAsync(TellAsync, HttpProtocols.Http1);
        Server = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Node = await DashboardNode.StartAsync([Server.Address, Server.Address, Server.Address]);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (Browser is not null)
        {
            await Node.DisposeAsync();
            await Server.DisposeAsync();
            _ended.TrySetResult();
            await _teller.DisposeAsync();
            await Browser.DisposeAsync();
        }
    }

    [SetUp]
    public async Task OpenAsync() => Window = await Browser.OpenAsync();

    [TearDown]
    public async Task CloseAsync()
    {
        await Window.DisposeAsync();
        // What could not be loaded is for a test to say: a node that is away, a token that is wrong.
        Window.Complaints.Where(text => !text.StartsWith("Failed to load resource", StringComparison.Ordinal)).Should().BeEmpty();
    }

    protected static BackendLine Backend(string name) => new(name);

    protected static object Pool(string name, params BackendLine[] backends) =>
        new { name, policy = "RoundRobin", queueLength = 0, requestsPerSecond = 1, errorShare = 0, p50Ms = 1, p99Ms = 2, backends };

    protected ILocator Row(string backend) => Page.GetByRole(AriaRole.Row)
        .Filter(new() { Has = Page.GetByRole(AriaRole.Rowheader).GetByText(backend, new() { Exact = true }).First });

    /// <summary>Starts the program with these settings.</summary>
    protected static async Task<ProgramUnderTest> StartAsync(TemporaryDirectory folder, object settings)
    {
        var file = folder.File("settings.json");
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(settings));
        return await ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);
    }

    protected async Task LogInAsync(string token)
    {
        await Page.GetByLabel("Token").FillAsync(token);
        await Page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
    }

    /// <summary>Shows pools as a node would tell of them, with numbers that no real node would give twice.</summary>
    protected async Task ShowAsync(
        object[] pools, object[]? log = null, object[]? errors = null, bool reload = true, object[]? routes = null, int routeCount = 0,
        string status = "ok", IPage? page = null)
    {
        page ??= Page;
        var hello = new { node = "1.0.0", seconds = 300, history = Array.Empty<object>(), log = log ?? [] };
        var snapshot = new
        {
            time = "2026-11-27T08:00:00.000Z",
            status,
            totals = new { requestsPerSecond = 1, errorShare = 0, inFlight = 0, p50Ms = 1, p99Ms = 2 },
            errors = new { total_errors = errors?.Length ?? 0, error_types = new { }, recent_errors = errors ?? [] },
            certificates = Array.Empty<object>(),
            routes = routes ?? [],
            routeCount,
            pools,
        };
        var stream = $"event: hello\ndata: {JsonSerializer.Serialize(hello, JsonSerializerOptions.Web)}\n\nevent: snapshot\ndata: " +
            $"{JsonSerializer.Serialize(snapshot, JsonSerializerOptions.Web)}\n\n";
        _told = stream;
        Interlocked.Exchange(ref _ended, new TaskCompletionSource()).SetResult();
        await page.RouteAsync("**/api/events*", route => route.ContinueAsync(new() { Url = _teller.Address }));
        if (reload)
        {
            await page.GotoAsync(Node.Dashboard);
        }
    }

    // A stream that goes on, as that of a node does.
    private async Task TellAsync(HttpContext context)
    {
        var (ended, gone) = (_ended.Task, context.RequestAborted);
        context.Response.ContentType = "text/event-stream";
        await context.Response.WriteAsync(_told, gone);
        while (!ended.IsCompleted && !gone.IsCancellationRequested)
        {
            await context.Response.Body.FlushAsync(gone);
            await ended.WaitAsync(TimeSpan.FromSeconds(1), TimeProvider.System, gone)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await context.Response.WriteAsync("event: update\ndata: {}\n\n", gone);
        }
    }

    protected sealed record BackendLine(string Name)
    {
        public string Address { get; init; } = "http://127.0.0.1:1";

        public int Weight { get; init; } = 1;

        public string AdminState { get; init; } = "Ready";

        public bool Healthy { get; init; } = true;

        public string Reason { get; init; } = "GET / answered 200";

        public int InFlight { get; init; }

        public double RequestsPerSecond { get; init; } = 1;

        public double ErrorShare { get; init; }

        public double P50Ms { get; init; } = 1;

        public double? P99Ms { get; init; } = 2;

        public double Ramp { get; init; } = 1;
    }
}
