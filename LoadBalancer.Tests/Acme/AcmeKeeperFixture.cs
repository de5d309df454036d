using LoadBalancer.Acme;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Acme;

/// <summary>A keeper of one name, with an authority, a store and a clock as a test wants them.</summary>
internal abstract class AcmeKeeperFixture : IDisposable
{
    protected const string Name = "shop.test";

    protected FakeClock Clock { get; } = new();

    protected LogRecorder Log { get; } = new();

    protected List<string> Notes { get; } = [];

    protected TemporaryDirectory Files { get; } = new();

    protected Challenges Challenges { get; } = new();

    protected AcmeDirectory Authority { get; private set; } = null!;

    protected AcmeKeeper? Keeper { get; private set; }

    /// <summary>Called before a note is taken.</summary>
    protected Action<string> BeforeNote { get; set; } = _ => { };

    protected AcmeOptions Options => new()
    {
        Directory = Authority.Address,
        Names = [Name],
        AcceptTerms = true,
        Store = Files.File("acme"),
    };

    protected string Certificate => Options.FileOf(Name);

    protected string AttemptFile => Path.ChangeExtension(Certificate, ".json");

    protected string AccountFile => Path.Combine(Options.Folder, "account.key");

    protected int Attempts => Last.Failures;

    protected Attempt Last => new AcmeStore(Options).LastAttempt(Name);

    protected List<string> Warnings => [.. Log.Lines.Where(line => !line.StartsWith("Information", StringComparison.Ordinal))];

    [SetUp]
    public async Task StartAsync()
    {
        Authority = await AcmeDirectory.StartAsync();
        Authority.NotBefore = Clock.GetUtcNow;
    }

    [TearDown]
    public async Task StopAsync()
    {
        await Stop();
        await Authority.DisposeAsync();
        Authority.Faults.Should().BeEmpty();
    }

    public void Dispose() => Files.Dispose();

    protected static LoadBalancerOptions All(params AcmeOptions[] options) => new()
    {
        Listeners = options.Index().ToDictionary(
            entry => $"web{entry.Index}", entry => (ListenerOptions)new HttpListenerOptions { Acme = entry.Item }),
    };

    protected bool IsLogged(string text) => Log.Lines.Any(line => line.Contains(text, StringComparison.Ordinal));

    protected void Start(params AcmeOptions[] options)
    {
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(Log));
        void Note(string text)
        {
            BeforeNote(text);
            lock (Notes)
            {
                Notes.Add(text);
            }
        }
        Keeper = new AcmeKeeper(Challenges, Note, Clock, loggers.CreateLogger<AcmeKeeper>(), null);
        Keeper.Apply(options.Length > 0 ? All(options) : All(Options));
        _ = Keeper.StartAsync(default);
    }

    protected async Task Stop()
    {
        if (Keeper is { } keeper)
        {
            Keeper = null;
            await keeper.StopAsync(default);
            keeper.Dispose();
        }
    }

    protected Task KeepUntilAsync(Func<bool> condition, TimeSpan? step = null)
    {
        Start();
        return UntilAsync(condition, step ?? TimeSpan.FromSeconds(1));
    }

    /// <summary>Waits; time passes only while the keeper waits for it, so that none passes during a request.</summary>
    /// <param name="condition">For what.</param>
    /// <param name="step">How much time passes at once; null: until the next timer.</param>
    protected Task UntilAsync(Func<bool> condition, TimeSpan? step) => Eventually.BeTrueAsync(
        () =>
        {
            if (condition())
            {
                return true;
            }
            if (Clock.UntilNextTimer is { } next)
            {
                Clock.Advance(step ?? next);
            }
            return false;
        },
        "the keeper has got so far");

    protected Task SleepsAsync() => Eventually.BeTrueAsync(() => Clock.UntilNextTimer is not null, "the keeper waits");
}
