using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Acme;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Acme;

/// <summary>What becomes of a name whose certificate is got, whatever the authority, the store and the clock do.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeKeeperTests : IDisposable
{
    private const string Name = "shop.test";

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly List<string> _notes = [];
    private readonly TemporaryDirectory _files = new();
    private AcmeDirectory _directory = null!;
    private AcmeKeeper? _keeper;

    private AcmeOptions Options => new()
    {
        Directory = _directory.Address,
        Names = [Name],
        AcceptTerms = true,
        Store = _files.File("acme"),
    };

    private string Certificate => Options.FileOf(Name);

    [SetUp]
    public async Task StartAsync()
    {
        _directory = await AcmeDirectory.StartAsync();
        _directory.NotBefore = _clock.GetUtcNow;
    }

    [TearDown]
    public async Task StopAsync()
    {
        await Stop();
        await _directory.DisposeAsync();
    }

    public void Dispose() => _files.Dispose();

    [Test]
    public async Task Order_NameWithoutCertificate_IsKeptForItsOwnerOnly()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));

        using var certificate = X509Certificate2.CreateFromPemFile(Certificate);
        certificate.MatchesHostname(Name).Should().BeTrue();
        _notes.Should().ContainSingle().Which.Should().StartWith($"certificate of '{Name}': a new one is there");
        var files = Directory.GetFiles(Options.Folder);
        files.Should().HaveCount(3);
        foreach (var file in files)
        {
            if (!OperatingSystem.IsWindows())
            {
                File.GetUnixFileMode(file).Should().Be(UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }
        }
    }

    [Test]
    public async Task Order_NonceIsRefused_IsRepeatedWithTheNextOne()
    {
        var left = 5;
        _directory.Refuse = path => path == "new-order" && left-- > 0 ? new("badNonce") : null;

        await KeepUntilAsync(() => IsLogged("has issued one"));

        Warnings.Should().BeEmpty();
        _directory.Orders.Should().Be(6);
    }

    [TestCase("120", 120)]
    [TestCase("3600", 3600)]
    [TestCase("Mon, 01 Jan 2125 00:00:00 GMT", 30 * 86400)] // No wish holds for longer than 30 days.
    public async Task Order_TooManyRequests_WaitsAsLongAsTheAuthorityWishesAlsoAfterARestart(string retryAfter, int seconds)
    {
        _directory.Refuse = path => path == "new-order" ? new("rateLimited", 429, retryAfter, "too many certificates") : null;
        await KeepUntilAsync(() => IsLogged("none could be got"));
        Warnings.Should().ContainSingle().Which.Should().Contain("the authority says rateLimited: too many certificates");
        var until = _clock.GetUtcNow() + TimeSpan.FromSeconds(seconds);

        await Stop();
        _directory.Refuse = _ => null;
        Start();
        while (_clock.GetUtcNow() < until - TimeSpan.FromHours(2))
        {
            await SleepsAsync();
            _clock.Advance(TimeSpan.FromHours(1));
        }
        await SleepsAsync();
        _directory.Orders.Should().Be(1);

        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromMinutes(1));
        _clock.GetUtcNow().Should().BeOnOrAfter(until - TimeSpan.FromMinutes(1));
    }

    [Test]
    public async Task Order_FailsAgainAndAgain_IsRepeatedLessAndLessOftenAndLoggedOnce()
    {
        _directory.Authorization = () => "invalid";
        var times = new List<DateTimeOffset>();
        Start();

        for (var i = 0; i < 13; i++)
        {
            await UntilAsync(() => Attempts > i, null);
            await SleepsAsync();
            times.Add(Last.At);
        }

        var waits = times.Zip(times.Skip(1), (one, next) => Math.Round((next - one).TotalMinutes)).ToList();
        waits.Take(4).Should().Equal(1, 2, 4, 8);
        waits[^1].Should().BeInRange(1440, 1442, "a day is the longest");
        Warnings.Should().ContainSingle().Which.Should().Contain("connection: Connection refused", "it is the same reason each time");
        _notes.Should().ContainSingle();
    }

    [Test]
    public async Task Order_ReasonChanges_IsLoggedAgain()
    {
        _directory.Authorization = () => "invalid";
        await KeepUntilAsync(() => IsLogged("Connection refused"));

        _directory.Refuse = path => path == "new-order" ? new("rejectedIdentifier", 403, null, "not this name") : null;
        await UntilAsync(() => IsLogged("not this name"), TimeSpan.FromMinutes(1));
        _directory.Refuse = path => path == "new-account" ? new("userActionRequired", 403, null, "new terms") : null;
        await UntilAsync(() => IsLogged("somebody must agree to the terms of service at https://ca.test/terms"), TimeSpan.FromMinutes(1));

        Warnings.Should().HaveCount(3);
    }

    [Test]
    public async Task Order_AuthorizationIsPendingForMinutes_IsWaitedFor()
    {
        var since = _clock.GetUtcNow();
        _directory.Authorization = () => _clock.GetUtcNow() - since > TimeSpan.FromMinutes(7) ? "valid" : "pending";

        await KeepUntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(5));

        Warnings.Should().BeEmpty();
        _directory.Orders.Should().Be(1);
    }

    [Test]
    public async Task Order_AuthorizationIsPendingForEver_Fails()
    {
        _directory.Authorization = () => "pending";

        await KeepUntilAsync(() => IsLogged("still pending after 10 minutes"), TimeSpan.FromSeconds(5));
    }

    [Test]
    public async Task Order_HasExpiredMeanwhile_IsMadeAnew()
    {
        var left = 1;
        _directory.Refuse = path => path == "finalize" && left-- > 0 ? new("orderNotReady", 403, null, "the order has expired") : null;

        await KeepUntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(10));

        _directory.Orders.Should().Be(2);
        Warnings.Should().ContainSingle().Which.Should().Contain("the order has expired");
    }

    [Test]
    public async Task Register_AccountWasDeleted_MakesAnotherOne()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var account = await File.ReadAllTextAsync(Path.Combine(Options.Folder, "account.key"));
        await Stop();
        File.Delete(Certificate);
        File.Delete(Path.ChangeExtension(Certificate, ".json"));
        var left = 1;
        _directory.Refuse = path => path == "new-account" && left-- > 0 ? new("unauthorized", 403, null, "deactivated") : null;

        await KeepUntilAsync(() => File.Exists(Certificate));

        Warnings.Should().ContainSingle().Which.Should().Contain("deactivated");
        (await File.ReadAllTextAsync(Path.Combine(Options.Folder, "account.key"))).Should().NotBe(account);
        (await File.ReadAllTextAsync(Path.Combine(Options.Folder, "account.key.old"))).Should().Be(account);
    }

    [Test]
    public async Task Order_DirectoryIsDownForDays_KeepsTheCertificateAndRenewsWhenItIsBack()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var before = await File.ReadAllTextAsync(Certificate);
        _directory.Refuse = _ => new("serverInternal", 503);

        await UntilAsync(() => IsLogged("none could be got"), TimeSpan.FromHours(12));
        for (var i = 0; i < 10; i++)
        {
            await SleepsAsync();
            _clock.Advance(TimeSpan.FromHours(12));
        }
        (await File.ReadAllTextAsync(Certificate)).Should().Be(before);
        Warnings.Should().ContainSingle();

        _directory.Refuse = _ => null;
        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(12));
        using var renewed = X509Certificate2.CreateFromPemFile(Certificate);
        using var old = X509Certificate2.CreateFromPem(before);
        renewed.GetPublicKey().Should().NotEqual(old.GetPublicKey(), "each has a key of its own");
    }

    [TestCase("nonsense")]
    [TestCase("http://[")]
    [TestCase("ftp://ca.test/")]
    public async Task Order_AuthorityNamesWhatIsNoAddress_IsRepeated(string address)
    {
        _directory.NewAccount = address;
        await KeepUntilAsync(() => IsLogged("none could be got"));

        _directory.NewAccount = null;
        await UntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(10));
    }

    [Test]
    public async Task Order_NobodyListensAtTheDirectory_SaysSo()
    {
        var keptOptions = Options with { Directory = $"http://127.0.0.1:{ReservedPorts.Next()}/directory" };
        Start(keptOptions);

        await UntilAsync(() => IsLogged("connection refused"), TimeSpan.FromSeconds(1));
    }

    [Test]
    public async Task Start_CertificateIsInTheStore_OrdersNothingUntilTwoThirdsOfItsLifetime()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        var begin = _clock.GetUtcNow();
        var before = await File.ReadAllTextAsync(Certificate);

        Start();
        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(6));

        _directory.Orders.Should().Be(2);
        (_clock.GetUtcNow() - begin).TotalDays.Should().BeInRange(90 * 2 / 3.0 * 0.95 - 0.5, 90 * 2 / 3.0 * 1.05 + 0.5);
    }

    [TestCase("")]
    [TestCase("-----BEGIN CERTIFICATE-----\nMIIB")]
    public async Task Start_StoreIsHalfWritten_OrdersAnotherOne(string text)
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        var whole = await File.ReadAllTextAsync(Certificate);
        await File.WriteAllTextAsync(Certificate, text);
        await File.WriteAllTextAsync(Certificate + ".new", "left by a crash");
        await File.WriteAllTextAsync(Path.Combine(Options.Folder, "account.key"), "-----BEGIN PRIVATE KEY-----\n");
        await File.WriteAllTextAsync(Path.ChangeExtension(Certificate, ".json"), "{ \"failures\":");

        await KeepUntilAsync(() => File.ReadAllText(Certificate).Length > whole.Length / 2);

        Warnings.Should().HaveCount(2);
        Warnings[0].Should().Contain("cannot be used").And.Contain("another one is ordered");
        Warnings[1].Should().Contain("account at ").And.Contain("has no key");
    }

    [Test]
    public async Task Start_StoreCannotBeWritten_OrdersNothing()
    {
        await File.WriteAllTextAsync(_files.File("acme"), "a file");

        await KeepUntilAsync(() => IsLogged("none could be got"));

        _directory.Requests.Should().BeEmpty("what cannot be kept would be ordered again and again");
    }

    [Test]
    public async Task Renew_ClockIsADayBehind_LeavesTheCertificate()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        _clock.ChangeTimeOfDay(TimeSpan.FromDays(-1)); // The certificate is not valid yet.

        Start();
        await SleepsAsync();
        _clock.Advance(TimeSpan.FromHours(1));
        await SleepsAsync();

        _directory.Orders.Should().Be(1);
        Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task Order_ClockIsWrong_SaysSoAndDoesNotOrderAgainAtOnce()
    {
        var real = _clock.GetUtcNow();
        _clock.ChangeTimeOfDay(TimeSpan.FromDays(1));
        (_directory.NotBefore, _directory.Lifetime) = (() => real, TimeSpan.FromHours(12));

        await KeepUntilAsync(() => IsLogged("is the clock of this machine wrong?"));
        await SleepsAsync();
        _clock.Advance(TimeSpan.FromMinutes(30));
        await SleepsAsync();

        _directory.Orders.Should().Be(1);
    }

    [Test]
    public async Task Renew_AuthorityWishesItEarlier_RenewsInItsWindow()
    {
        var wished = _clock.GetUtcNow().AddDays(10);
        _directory.Window = (wished, wished.AddHours(12));
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var before = await File.ReadAllTextAsync(Certificate);

        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(1));

        _clock.GetUtcNow().Should().BeOnOrAfter(wished).And.BeOnOrBefore(wished.AddHours(14));
        _directory.Payloads.Last(asked => asked.Path == "new-order").Payload["replaces"].Should().NotBeNull();
    }

    [Test]
    public async Task Apply_NameIsGone_KeepsItsFilesAndRenewsNothing()
    {
        _directory.Lifetime = TimeSpan.FromDays(3);
        await KeepUntilAsync(() => IsLogged("has issued one"));

        _keeper!.Apply(All(Options with { Names = ["other.test"] }));
        await UntilAsync(() => File.Exists(Options.FileOf("other.test")), TimeSpan.FromSeconds(1));
        _clock.Advance(TimeSpan.FromDays(2));
        await UntilAsync(() => _directory.Orders == 3, TimeSpan.FromSeconds(1));

        _log.Lines.Count(line => line.Contains($"'{Name}'", StringComparison.Ordinal)).Should().Be(1);
        File.Exists(Certificate).Should().BeTrue();
    }

    private int Attempts => Last.Failures;

    private Attempt Last => new AcmeStore(Options).LastAttempt(Name);

    private List<string> Warnings => [.. _log.Lines.Where(line => !line.StartsWith("Information", StringComparison.Ordinal))];

    private bool IsLogged(string text) => _log.Lines.Any(line => line.Contains(text, StringComparison.Ordinal));

    private void Start(AcmeOptions? options = null)
    {
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(_log));
        void Note(string text)
        {
            lock (_notes)
            {
                _notes.Add(text);
            }
        }
        _keeper = new AcmeKeeper(new Challenges(), Note, _clock, loggers.CreateLogger<AcmeKeeper>());
        _keeper.Apply(All(options ?? Options));
        _ = _keeper.StartAsync(default);
    }

    private static LoadBalancerOptions All(AcmeOptions options) => new()
    {
        Listeners = new Dictionary<string, ListenerOptions> { ["web"] = new HttpListenerOptions { Acme = options } },
    };

    private async Task Stop()
    {
        if (_keeper is { } keeper)
        {
            _keeper = null;
            await keeper.StopAsync(default);
            keeper.Dispose();
        }
    }

    private Task KeepUntilAsync(Func<bool> condition, TimeSpan? step = null)
    {
        Start();
        return UntilAsync(condition, step ?? TimeSpan.FromSeconds(1));
    }

    // Time passes only while the keeper waits for it, so that none passes during a request.
    private Task UntilAsync(Func<bool> condition, TimeSpan? step) => Eventually.BeTrueAsync(
        () =>
        {
            if (condition())
            {
                return true;
            }
            if (_clock.UntilNextTimer is { } next)
            {
                _clock.Advance(step ?? next);
            }
            return false;
        },
        "the keeper has got so far");

    private Task SleepsAsync() => Eventually.BeTrueAsync(() => _clock.UntilNextTimer is not null, "the keeper waits");
}
