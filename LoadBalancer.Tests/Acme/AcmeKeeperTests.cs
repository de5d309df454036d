using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Acme;

/// <summary>What becomes of a name whose certificate is got, whatever the authority, the store and the clock do.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeKeeperTests : AcmeKeeperFixture
{
    [Test]
    public async Task Order_NameWithoutCertificate_IsKeptForItsOwnerOnly()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));

        using var certificate = X509Certificate2.CreateFromPemFile(Certificate);
        certificate.MatchesHostname(Name).Should().BeTrue();
        Notes.Should().ContainSingle().Which.Should().StartWith($"certificate of '{Name}': a new one is there");
        var files = Directory.GetFiles(Options.Folder);
        files.Should().HaveCount(4);
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
        Authority.Refuse = path => path == "new-order" && left-- > 0 ? new("badNonce") : null;

        await KeepUntilAsync(() => IsLogged("has issued one"));

        Warnings.Should().BeEmpty();
        Authority.Orders.Should().Be(6);
    }

    [TestCase("120", 120)]
    [TestCase("3600", 3600)]
    [TestCase("Mon, 01 Jan 2125 00:00:00 GMT", 30 * 86400)] // No wish holds for longer than 30 days.
    public async Task Order_TooManyRequests_WaitsAsLongAsTheAuthorityWishesAlsoAfterARestart(string retryAfter, int seconds)
    {
        Authority.Refuse = path => path == "new-order" ? new("rateLimited", 429, retryAfter, "too many certificates") : null;
        await KeepUntilAsync(() => IsLogged("none could be got"));
        Warnings.Should().ContainSingle().Which.Should().Contain("the authority says rateLimited: too many certificates");
        var until = Clock.GetUtcNow() + TimeSpan.FromSeconds(seconds);

        await Stop();
        Authority.Refuse = _ => null;
        Start();
        while (Clock.GetUtcNow() < until - TimeSpan.FromHours(2))
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromHours(1));
        }
        await SleepsAsync();
        Authority.Orders.Should().Be(1);

        await UntilAsync(() => File.Exists(Certificate), TimeSpan.FromMinutes(1));
        Clock.GetUtcNow().Should().BeOnOrAfter(until - TimeSpan.FromMinutes(1));
    }

    [Test]
    public async Task Order_FailsAgainAndAgain_IsRepeatedLessAndLessOftenAndLoggedOnce()
    {
        Authority.Authorization = () => "invalid";
        var times = new List<DateTimeOffset>();
        Start();

        for (var i = 0; i < 13; i++)
        {
            await UntilAsync(() => Attempts > i, null);
            await SleepsAsync();
            times.Add(Last.At);
        }

        var waits = times.Zip(times.Skip(1), (one, next) => (next - one).TotalMinutes).ToList();
        foreach (var (i, wait) in waits.Take(4).Index())
        {
            wait.Should().BeInRange(1 << i, 1.1 * (1 << i) + 0.1);
        }
        waits[^1].Should().BeInRange(1440 / 1.1, 1441, "a day is the longest");
        Warnings.Should().ContainSingle().Which.Should().Contain("connection: Connection refused", "it is the same reason each time");
        Notes.Should().ContainSingle();
    }

    [Test]
    public async Task Order_ReasonChanges_IsLoggedAgain()
    {
        Authority.Authorization = () => "invalid";
        await KeepUntilAsync(() => IsLogged("Connection refused"));

        Authority.Refuse = path => path == "new-order" ? new("rejectedIdentifier", 403, null, "not this name") : null;
        await UntilAsync(() => IsLogged("not this name"), TimeSpan.FromMinutes(1));
        Authority.Refuse = path => path == "new-account" ? new("userActionRequired", 403, null, "new terms") : null;
        await UntilAsync(() => IsLogged("somebody must agree to the terms of service at https://ca.test/terms"), TimeSpan.FromMinutes(1));

        Warnings.Should().HaveCount(3);
    }

    [Test]
    public async Task Order_AuthorizationIsPendingForMinutes_IsWaitedFor()
    {
        var since = Clock.GetUtcNow();
        Authority.Authorization = () => Clock.GetUtcNow() - since > TimeSpan.FromMinutes(7) ? "valid" : "pending";

        await KeepUntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(5));

        Warnings.Should().BeEmpty();
        Authority.Orders.Should().Be(1);
    }

    [Test]
    public async Task Order_AuthorizationIsPendingForEver_Fails()
    {
        Authority.Authorization = () => "pending";

        await KeepUntilAsync(() => IsLogged("still pending after 10 minutes"), TimeSpan.FromSeconds(5));
    }

    [Test]
    public async Task Order_HasExpiredMeanwhile_IsMadeAnew()
    {
        var left = 1;
        Authority.Refuse = path => path == "finalize" && left-- > 0 ? new("orderNotReady", 403, null, "the order has expired") : null;

        await KeepUntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(10));

        Authority.Orders.Should().Be(2);
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
        Authority.Refuse = path => path == "new-account" && left-- > 0 ? new("unauthorized", 403, null, "deactivated") : null;

        await KeepUntilAsync(() => File.Exists(Certificate));

        Warnings.Should().ContainSingle().Which.Should().Contain("deactivated");
        Notes.Should().ContainSingle(note => note.StartsWith($"account at {Options.Directory}: another one was made"));
        (await File.ReadAllTextAsync(Path.Combine(Options.Folder, "account.key"))).Should().NotBe(account);
        (await File.ReadAllTextAsync(Path.Combine(Options.Folder, "account.key.old"))).Should().Be(account);
        File.Exists(Path.Combine(Options.Folder, "account.key.old2")).Should().BeFalse("one was enough");
    }

    [Test]
    public async Task Order_DirectoryIsDownForDays_KeepsTheCertificateAndRenewsWhenItIsBack()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var before = await File.ReadAllTextAsync(Certificate);
        Authority.Refuse = _ => new("serverInternal", 503);

        await UntilAsync(() => IsLogged("none could be got"), TimeSpan.FromHours(12));
        for (var i = 0; i < 10; i++)
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromHours(12));
        }
        (await File.ReadAllTextAsync(Certificate)).Should().Be(before);
        Warnings.Should().ContainSingle();

        Authority.Refuse = _ => null;
        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(12));
        using var renewed = X509Certificate2.CreateFromPemFile(Certificate);
        using var old = X509Certificate2.CreateFromPem(before);
        renewed.GetPublicKey().Should().NotEqual(old.GetPublicKey(), "each has a key of its own");
    }

    [TestCase("nonsense")]
    [TestCase("http://[")]
    [TestCase("ftp://ca.test/")]
    [TestCase("https://169.254.169.254/new")] // The scheme of this directory is another one, as http:// is for a real one.
    public async Task Order_AuthorityNamesWhatIsNoAddress_IsRepeated(string address)
    {
        Authority.NewAccount = address;
        await KeepUntilAsync(() => IsLogged("none could be got"));
        Warnings.Should().ContainSingle().Which.Should().Contain($"the authority names '{address}', which is no address with http://");

        Authority.NewAccount = null;
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
        var begin = Clock.GetUtcNow();
        var before = await File.ReadAllTextAsync(Certificate);

        Start();
        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(6));

        Authority.Orders.Should().Be(2);
        (Clock.GetUtcNow() - begin).TotalDays.Should().BeInRange(90 * 2 / 3.0 * 0.95 - 0.5, 90 * 2 / 3.0 * 1.05 + 0.5);
    }

    [TestCase("")]
    [TestCase("-----BEGIN CERTIFICATE-----\nMIIB")]
    public async Task Start_StoreIsHalfWritten_OrdersAnotherOne(string text)
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        var whole = await File.ReadAllTextAsync(Certificate);
        await File.WriteAllTextAsync(Certificate, text);
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
        await File.WriteAllTextAsync(Files.File("acme"), "a file");

        await KeepUntilAsync(() => IsLogged("none could be got"));

        Authority.Requests.Should().BeEmpty("what cannot be kept would be ordered again and again");
    }

    [Test]
    public async Task Renew_ClockIsADayBehind_LeavesTheCertificate()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(-1)); // The certificate is not valid yet.

        Start();
        await SleepsAsync();
        Clock.Advance(TimeSpan.FromHours(1));
        await SleepsAsync();

        Authority.Orders.Should().Be(1);
        Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task Order_ClockIsWrong_SaysSoAndDoesNotOrderAgainAtOnce()
    {
        var real = Clock.GetUtcNow();
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(1));
        (Authority.NotBefore, Authority.Lifetime) = (() => real, TimeSpan.FromHours(12));

        await KeepUntilAsync(() => IsLogged("is the clock of this machine wrong?"));
        await SleepsAsync();
        Clock.Advance(TimeSpan.FromMinutes(30));
        await SleepsAsync();

        Authority.Orders.Should().Be(1);
        Notes.Should().ContainSingle(note => note.Contains("is the clock of this machine wrong?"));
    }

    [Test]
    public async Task Renew_AuthorityWishesItEarlier_RenewsInItsWindow()
    {
        var wished = Clock.GetUtcNow().AddDays(10);
        Authority.Window = (wished, wished.AddHours(12));
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var before = await File.ReadAllTextAsync(Certificate);

        await UntilAsync(() => File.ReadAllText(Certificate) != before, TimeSpan.FromHours(1));

        Clock.GetUtcNow().Should().BeOnOrAfter(wished).And.BeOnOrBefore(wished.AddHours(14));
        Authority.Payloads.Last(asked => asked.Path == "new-order").Payload["replaces"].Should().NotBeNull();
    }

    [Test]
    public async Task Apply_NameIsGone_KeepsItsFilesAndRenewsNothing()
    {
        Authority.Lifetime = TimeSpan.FromDays(3);
        await KeepUntilAsync(() => IsLogged("has issued one"));

        Keeper!.Apply(All(Options with { Names = ["other.test"] }));
        await UntilAsync(() => Log.Lines.Count(line => line.Contains("has issued one")) == 2, TimeSpan.FromSeconds(1));
        await SleepsAsync();
        Clock.Advance(TimeSpan.FromDays(2.2)); // after two thirds of the lifetime, and 5 % of that
        await UntilAsync(() => Authority.Orders == 3, TimeSpan.FromSeconds(1));

        Authority.OrderedNames.Should().Equal(Name, "other.test", "other.test");
        File.Exists(Certificate).Should().BeTrue();
    }
}
