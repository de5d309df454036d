using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Acme;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Acme;

/// <summary>When a name is tried again, and when its certificate is renewed.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeClockTests : AcmeKeeperFixture
{
    private const int Year = 365;

    private static readonly DateTimeOffset Begin = new(2025, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [TestCase(true)]
    [TestCase(false)]
    public async Task Order_ClockWasAYearAheadAtAFailure_IsTriedAgainSoon(bool isRestarted)
    {
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(Year));
        Authority.Authorization = () => "invalid";
        await KeepUntilAsync(() => Attempts == 1 && IsLogged("none could be got"));
        await SleepsAsync();
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(-Year));
        if (isRestarted)
        {
            await Stop();
            Start();
        }

        for (var i = 0; i < 3; i++)
        {
            await SleepsAsync();
            Clock.Advance(TimeSpan.FromHours(1)); // It looks at the clock each hour.
        }
        await UntilAsync(() => Authority.Orders >= 2, TimeSpan.FromSeconds(1));
    }

    [Test]
    public async Task Renew_ClockWasAYearAheadAtASuccess_IsInTime()
    {
        Authority.Lifetime = TimeSpan.FromDays(3);
        var real = Clock.GetUtcNow();
        Authority.NotBefore = () => real;
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(Year));
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await SleepsAsync();
        Clock.ChangeTimeOfDay(TimeSpan.FromDays(-Year));

        await UntilAsync(() => Authority.Orders == 2, TimeSpan.FromMinutes(10));

        Clock.GetUtcNow().Should().BeOnOrBefore(real.AddDays(2.5));
    }

    [Test]
    public void BackOff_OfManyNames_IsSpreadBetweenAMinuteAndADay()
    {
        Attempt.BackOff(1, 0).Should().Be(TimeSpan.FromMinutes(1));
        Attempt.BackOff(1, 1).Should().BeGreaterThan(TimeSpan.FromMinutes(1));
        Attempt.BackOff(20, 1).Should().BeCloseTo(TimeSpan.FromDays(1), TimeSpan.FromSeconds(1));
        Attempt.BackOff(20, 0).Should().BeLessThan(TimeSpan.FromDays(1)).And.BeGreaterThan(TimeSpan.FromHours(20));
    }

    [TestCase(10, 11, 10, 11)]
    [TestCase(95, 4000, 81, 81)] // Its end would come before.
    [TestCase(4000, 4001, 81, 81)]
    public void Of_AuthorityWishes_IsInItsWindowAndBeforeTheEnd(int start, int end, int earliest, int latest)
    {
        using var certificate = Issue(Begin, Begin.AddDays(90));
        var wish = new RenewalInformation(Begin.AddDays(start), Begin.AddDays(end), TimeSpan.FromHours(6));

        RenewalTime.Of(certificate, wish).Should().BeOnOrAfter(Begin.AddDays(earliest)).And.BeOnOrBefore(Begin.AddDays(latest));
    }

    [TestCase(0)]
    [TestCase(-1)]
    public async Task Renew_WindowThatIsNone_IsNotUsed(int hours)
    {
        Authority.Window = (Clock.GetUtcNow().AddDays(1), Clock.GetUtcNow().AddDays(1).AddHours(hours));
        await KeepUntilAsync(() => IsLogged("has issued one"));

        await UntilAsync(() => Clock.GetUtcNow() > Begin.AddDays(3), TimeSpan.FromHours(1));

        Authority.Orders.Should().Be(1);
    }

    [Test]
    public async Task Renew_AuthorityCannotBeAskedAnyMore_KeepsItsLastWish()
    {
        Authority.Window = (Begin.AddDays(5), Begin.AddDays(5).AddHours(1));
        await KeepUntilAsync(() => Authority.Requests.Contains("renewal"));
        await SleepsAsync();
        Authority.Refuse = path => path == "renewal" ? new("serverInternal", 503) : null;

        await UntilAsync(() => Authority.Orders == 2, TimeSpan.FromHours(1));

        Clock.GetUtcNow().Should().BeOnOrBefore(Begin.AddDays(6), "and not after two thirds of 90 days");
    }

    [TestCase("7200", 2, 2.4)]
    [TestCase(null, 1, 1.2)]
    public async Task Renew_AuthorityIsOverloaded_IsAskedWhenItWishes(string? retryAfter, double earliest, double latest)
    {
        Authority.Window = (Begin.AddDays(50), Begin.AddDays(51));
        Authority.Refuse = path => path == "renewal" ? new("rateLimited", 429, retryAfter) : null;
        await KeepUntilAsync(() => Authority.Requests.Contains("renewal"));
        await SleepsAsync();
        var asked = Clock.GetUtcNow();

        await UntilAsync(() => Authority.Requests.Count(path => path == "renewal") == 2, TimeSpan.FromMinutes(2));

        (Clock.GetUtcNow() - asked).TotalHours.Should().BeInRange(earliest - 0.1, latest + 1.1, "it looks at the clock each hour");
    }

    [Test]
    public async Task Renew_CertificateHasExpired_AuthorityIsNotAskedWhen()
    {
        Authority.Window = (Begin.AddDays(50), Begin.AddDays(51));
        Authority.Lifetime = TimeSpan.FromDays(1);
        await KeepUntilAsync(() => IsLogged("has issued one"));
        await Stop();
        Clock.Advance(TimeSpan.FromDays(2));
        var asked = Authority.Requests.Count(path => path == "renewal");
        Authority.Refuse = path => path == "new-order" ? new("serverInternal", 503) : null;

        await KeepUntilAsync(() => IsLogged("none could be got"));
        await SleepsAsync();

        Authority.Requests.Count(path => path == "renewal").Should().Be(asked);
    }

    [Test]
    public async Task Start_ManyNames_AskAFewAtOnce()
    {
        var options = Options with { Names = [.. Enumerable.Range(0, 12).Select(i => $"n{i}.test")] };
        Start(options);
        await UntilAsync(() => options.DnsNames.All(name => File.Exists(options.FileOf(name))), TimeSpan.FromSeconds(1));
        await Stop();
        var held = new TaskCompletionSource();
        (Authority.Window, Authority.Held) = ((Begin.AddDays(50), Begin.AddDays(51)), held.Task);
        Authority.ForgetMost();

        Start(options);
        await Eventually.BeTrueAsync(() => Authority.MostAtOnce >= 4, "some ask");
        held.SetResult();
        await Eventually.BeTrueAsync(() => Authority.Requests.Count(path => path == "renewal") == 12, "all have asked");

        Authority.MostAtOnce.Should().Be(4);
    }

    [Test]
    public async Task Order_AnotherAuthorityIsStuck_IsNotHeldUp()
    {
        Authority.Authorization = () => "pending";
        await using var other = await AcmeDirectory.StartAsync();
        other.NotBefore = Clock.GetUtcNow;
        var fine = Options with { Directory = other.Address };

        Start(Options with { Names = [.. Enumerable.Range(0, 4).Select(i => $"n{i}.test")] });
        await Eventually.BeTrueAsync(() => Authority.Orders == 4, "all turns of one authority are taken");
        Keeper!.Apply(All(Options with { Names = [.. Enumerable.Range(0, 4).Select(i => $"n{i}.test")] }, fine));

        await Eventually.BeTrueAsync(() => File.Exists(fine.FileOf(Name)), "no time has passed");
    }

    /// <summary>The example of RFC 9773 section 4.1.</summary>
    [Test]
    public void IdentifierOf_ExampleOfTheStandard_IsTheOneThere()
    {
        using var certificate = Issue(Begin, Begin.AddDays(1));

        AcmeClient.IdentifierOf(certificate).Should().Be("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    private static X509Certificate2 Issue(DateTimeOffset begin, DateTimeOffset end)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=it", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromSubjectKeyIdentifier(
            Convert.FromHexString("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")));
        return request.Create(
            new X500DistinguishedName("CN=issuer"), X509SignatureGenerator.CreateForECDsa(key), begin, end,
            Convert.FromHexString("0087654321"));
    }
}
