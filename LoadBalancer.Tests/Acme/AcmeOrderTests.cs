using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Acme;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;

namespace LoadBalancer.Tests.Acme;

/// <summary>What happens to an order in work: with each answer of the authority, and when the node stops.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeOrderTests : AcmeKeeperFixture
{
    private bool IsChallenged => Authority.Requests.Contains("challenge");

    [Test]
    public async Task Poll_AuthorityWishesAPause_IsAskedAfterIt()
    {
        var asked = new List<DateTimeOffset>();
        Authority.RetryAfter = path => path == "authorization" ? "200" : null;
        Authority.Authorization = () =>
        {
            asked.Add(Clock.GetUtcNow());
            return asked.Count < 3 ? "pending" : "valid";
        };

        await KeepUntilAsync(() => IsLogged("has issued one"));

        asked.Zip(asked.Skip(1), (one, next) => (next - one).TotalSeconds).Should().OnlyContain(pause => pause >= 200);
    }

    [Test]
    public async Task Poll_ChallengesAnswerWishesAPause_IsAskedAfterIt()
    {
        DateTimeOffset? answered = null;
        DateTimeOffset? asked = null;
        Authority.RetryAfter = path =>
        {
            answered ??= path == "challenge" ? Clock.GetUtcNow() : null;
            return path == "challenge" ? "30" : null;
        };
        Authority.Authorization = () =>
        {
            asked ??= Clock.GetUtcNow();
            return "valid";
        };

        await KeepUntilAsync(() => IsLogged("has issued one"));

        (asked - answered).Should().BeGreaterThanOrEqualTo(TimeSpan.FromSeconds(30));
    }

    [Test]
    public async Task Finalize_AnswerSaysThatItIsValid_IsNotAskedAgain()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));

        Authority.Requests.Should().ContainInConsecutiveOrder("finalize", "certificate");
    }

    [TestCase("authorization")]
    [TestCase("order")]
    [TestCase("certificate")]
    public async Task Poll_AuthorityIsOverloadedForAWhile_GoesOnWithTheOrder(string overloaded)
    {
        var left = 3;
        Authority.Refuse = path => path == overloaded && IsChallenged && left-- > 0 ? new("serverInternal", 503, "20") : null;

        await KeepUntilAsync(() => IsLogged("has issued one"));

        Authority.Orders.Should().Be(1);
        left.Should().BeNegative();
        Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task Poll_AuthorityIsOverloadedForLong_FailsWithItsWish()
    {
        Authority.Refuse = path => path == "order" ? new("rateLimited", 429, "7200") : null;

        await KeepUntilAsync(() => IsLogged("none could be got"));

        Last.Wait.Should().Be(TimeSpan.FromHours(2));
        Warnings.Should().ContainSingle().Which.Should().Contain("rateLimited");
    }

    [Test]
    public async Task Finalize_AnswerIsLost_IsACertificateAllTheSame()
    {
        Authority.Lose = path => path == "finalize";

        await KeepUntilAsync(() => IsLogged("has issued one"));

        Authority.Orders.Should().Be(1);
        Authority.Requests.Count(path => path == "finalize").Should().Be(1);
    }

    [Test]
    public async Task Finalize_IsRefusedForAWhile_Fails()
    {
        Authority.Refuse = path => path == "finalize" ? new("serverInternal", 503, null, "try later") : null;

        await KeepUntilAsync(() => IsLogged("try later"));
    }

    [Test]
    public async Task Stop_OrderIsInWork_IsNoFailure()
    {
        Authority.Authorization = () => "pending";
        await KeepUntilAsync(() => IsChallenged);

        await Stop();

        Last.Failures.Should().Be(0);
        Last.Wait.Should().Be(TimeSpan.FromMinutes(1));
        Log.Lines.Should().BeEmpty();
        Authority.Authorization = () => "valid";
        await KeepUntilAsync(() => IsLogged("has issued one"));
        Authority.Orders.Should().Be(2);
    }

    [Test]
    public async Task Apply_SettingsChangeDuringAnOrder_OrdersAnewWithThem()
    {
        Authority.Authorization = () => "pending";
        await KeepUntilAsync(() => IsChallenged);

        Authority.Authorization = () => "valid";
        Keeper!.Apply(All(Options with { Email = "ops@example.com" }));
        await UntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(1));

        var account = Authority.Payloads.Last(asked => asked.Path == "new-account").Payload;
        account["contact"]!.ToJsonString().Should().Contain("ops@example.com");
        Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task HandOver_OrderIsInWork_BothProcessesAnswerAndNothingIsOrderedUntilItGoesOn()
    {
        Authority.Authorization = () => "pending";
        await KeepUntilAsync(() => IsChallenged);

        var answers = Keeper!.HandOver();
        await Eventually.BeTrueAsync(() => Last.Failures == 0, "the order was given up");

        var token = answers.Should().ContainSingle().Which.Key;
        IsAnswered(Challenges, token).Should().BeTrue("the authority may still ask here");
        var other = new Challenges();
        other.Restore(answers);
        IsAnswered(other, token).Should().BeTrue();
        Clock.UntilNextTimer.Should().BeNull("nothing goes on");

        Authority.Authorization = () => "valid";
        Keeper.GoOn();
        await UntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(1));
        Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task GoOn_WasStoppedMeanwhile_OrdersNothing()
    {
        await KeepUntilAsync(() => IsLogged("has issued one"));
        var keeper = Keeper!;
        keeper.HandOver();
        await Stop();

        keeper.GoOn();

        Clock.UntilNextTimer.Should().BeNull();
    }

    [TestCase("alreadyReplaced", 409)]
    [TestCase("malformed", 400)]
    public async Task Renew_AuthorityDoesNotTakeWhatIsReplaced_OrdersWithoutIt(string type, int status)
    {
        Authority.Window = (Clock.GetUtcNow().AddDays(1), Clock.GetUtcNow().AddDays(1).AddHours(1));
        Authority.Refuse = path =>
            path == "new-order" && Authority.Payloads.Last().Payload["replaces"] is not null ? new(type, status) : null;
        await KeepUntilAsync(() => IsLogged("has issued one"));
        using var first = X509Certificate2.CreateFromPemFile(Certificate);

        await UntilAsync(() => Authority.Orders == 3, TimeSpan.FromHours(1));

        var orders = Authority.Payloads.Where(asked => asked.Path == "new-order").Select(asked => (string?)asked.Payload["replaces"]);
        orders.Should().Equal(null, AcmeClient.IdentifierOf(first), null);
    }

    [Test]
    public async Task Order_AnswerIsVeryLarge_Fails()
    {
        Authority.Send = _ => new string('x', 2 * 1024 * 1024);

        await KeepUntilAsync(() => IsLogged("none could be got"));

        Authority.Requests.Count(path => path == "certificate").Should().Be(1, "it would be as large again");
    }

    [TestCase("other.test", "is not for 'shop.test'")]
    [TestCase(Name, "a certificate of another key")]
    [TestCase(null, "no certificate")]
    public async Task Order_CertificateIsAnotherOne_IsNotKept(string? name, string reason)
    {
        const string None = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        Authority.Send = name == Name ? OfAnotherKey : chain => name is null ? None : chain;
        Authority.IssueFor = name == Name ? null : name;

        await KeepUntilAsync(() => IsLogged("none could be got"));

        Warnings.Should().ContainSingle().Which.Should().Contain(reason);
        File.Exists(Certificate).Should().BeFalse();
    }

    [Test]
    public async Task Order_AuthorityFileDoesNotFit_SaysThatItIsNotTrusted()
    {
        using var its = new TestCertificates();
        using var others = new TestCertificates();
        await using var secure = await AcmeDirectory.StartAsync(its.Issue("directory", "127.0.0.1"));
        secure.NotBefore = Clock.GetUtcNow;
        var options = Options with { Directory = secure.Address, AuthorityFile = others.AuthorityFile };
        Start(options);
        await UntilAsync(() => IsLogged("none could be got"), TimeSpan.FromSeconds(1));
        secure.Requests.Should().BeEmpty();

        Keeper!.Apply(All(options with { AuthorityFile = its.AuthorityFile }));
        await UntilAsync(() => IsLogged("has issued one"), TimeSpan.FromSeconds(1));
    }

    [Test]
    public async Task Order_AuthorityFileIsMissing_SaysSo()
    {
        Start(Options with { AuthorityFile = Files.File("missing.pem") });

        await UntilAsync(() => IsLogged("missing.pem"), TimeSpan.FromSeconds(1));
    }

    [Test]
    public async Task Order_AuthoritySpeaksInUnusualCharacters_IsOnePlainLine()
    {
        Authority.Authorization = () => "bad\nstatus\u2028\u202Ereversed" + new string('x', 1000);

        await KeepUntilAsync(() => IsLogged("none could be got"));

        var line = Warnings.Should().ContainSingle().Subject;
        line.Should().Contain("bad status  reversed").And.Subject.Length.Should().BeLessThan(1500);
        line.Should().NotContainAny("\n", "\u2028", "\u202E");
    }

    [Test]
    public async Task Order_SomethingUnexpectedFails_IsReportedAndGoesOn()
    {
        var isBroken = true;
        BeforeNote = _ =>
        {
            if (isBroken)
            {
                isBroken = false;
                throw new InvalidOperationException("a bug");
            }
        };
        Authority.Lifetime = TimeSpan.FromDays(3);

        await KeepUntilAsync(() => IsLogged("an unexpected error, no fault of the authority"));

        await UntilAsync(() => Log.Lines.Count(line => line.Contains("has issued one")) == 2, TimeSpan.FromHours(1));
    }

    private static bool IsAnswered(Challenges challenges, string token)
    {
        var context = new DefaultHttpContext { Request = { Method = "HEAD", Path = $"/.well-known/acme-challenge/{token}" } };
        return challenges.Answer(context) is not null;
    }

    private static string OfAnotherKey(string chain)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={Name}", key, HashAlgorithmName.SHA256);
        using var other = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(90));
        return other.ExportCertificatePem() + "\n" + chain;
    }
}
