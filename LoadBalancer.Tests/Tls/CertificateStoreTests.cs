using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tls;

/// <summary>What is said of certificates that expire.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class CertificateStoreTests : IDisposable
{
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();

    private readonly TestCertificates _certificates = new();
    private readonly LogRecorder _log = new();
    private readonly FakeTimeProvider _clock = new(Now);

    public void Dispose() => _certificates.Dispose();

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public void Certificate_ExpiresSoon_IsLoggedEachDayFrom14DaysBefore()
    {
        var file = _certificates.IssueUntil(Now.AddDays(15.5), "it", "it.test");
        using var store = Open(file);

        Hours(24);
        _log.Lines.Should().BeEmpty("there is time");

        Hours(24);
        _log.Lines.Should().ContainSingle().Which.Should()
            .StartWith($"Warning: listener 'web': certificate '{file.File}' expires in 13 days");

        Hours(3 * 24);
        _log.Lines.Should().HaveCount(4);

        using var expiring = Open(_certificates.IssueUntil(_clock.GetUtcNow().AddHours(12), "old", "old.test"));
        Hours(25);
        _log.Lines.Last(line => line.Contains("old.", StringComparison.Ordinal)).Should().Contain(" has expired at ");
    }

    [Test]
    public void Certificate_Renewed_IsNotLoggedAnyMore()
    {
        using var store = Open(_certificates.IssueUntil(Now.AddDays(3), "it", "it.test"));
        Hours(1);
        _log.Lines.Should().ContainSingle();

        _certificates.Issue("it", "it.test");
        Hours(48);

        _log.Lines.Should().HaveCount(2).And.Subject.Last().Should().Contain("was taken up");
        store.Status.Should().ContainSingle().Which.NotAfter.Should().BeAfter(Now.AddMonths(5));
    }

    [Test]
    public void Select_NameWhoseCertificateIsNotThereYet_StandsInUntilItIs()
    {
        using var files = new TemporaryDirectory();
        var acme = new AcmeOptions { Names = ["it.test", "other.test"], Store = files.File("acme") };
        using var store = Open(new HttpListenerOptions { Acme = acme });
        SubjectFor(store, "it.test").Should().Be("CN=self-signed");
        store.Status.Should().BeEmpty("what only stands in is no certificate");

        Put(acme, "it.test");
        Hours(1);

        SubjectFor(store, "it.test").Should().Be("CN=it.test");
        SubjectFor(store, "other.test").Should().Be("CN=self-signed");
        SubjectFor(store, null).Should().Be("CN=it.test", "a real one is better for who asks for no name");
        store.Status.Should().ContainSingle().Which.Name.Should().Be("it.test");
        _log.Lines.Should().ContainSingle().Which.Should().Contain("was taken up");
    }

    [Test]
    public void Select_NameThatIsInAFileToo_HasTheFileUntilItsOwnCertificateIsThere()
    {
        using var files = new TemporaryDirectory();
        var acme = new AcmeOptions { Names = ["a.it.test"], Store = files.File("acme") };
        using var store = Open(new HttpListenerOptions { Certificates = [_certificates.Issue("old", "*.it.test")], Acme = acme });
        SubjectFor(store, "a.it.test").Should().Be("CN=it.test");

        Put(acme, "a.it.test");
        Hours(1);

        SubjectFor(store, "a.it.test").Should().Be("CN=a.it.test");
        SubjectFor(store, null).Should().Be("CN=it.test");
        store.Status.Should().HaveCount(2);
    }

    [Test]
    public void Select_OwnCertificateHasExpired_HasTheFileThatHasNot()
    {
        using var files = new TemporaryDirectory();
        var acme = new AcmeOptions { Names = ["a.it.test", "b.test"], Store = files.File("acme") };
        Put(acme, "a.it.test", Now.AddDays(2));
        Put(acme, "b.test", Now.AddDays(2));
        using var store = Open(new HttpListenerOptions { Certificates = [_certificates.Issue("old", "*.it.test")], Acme = acme });
        SubjectFor(store, "a.it.test").Should().Be("CN=a.it.test");

        Hours(49);

        SubjectFor(store, "a.it.test").Should().Be("CN=it.test");
        SubjectFor(store, "b.test").Should().Be("CN=b.test", "there is no better one");
        SubjectFor(store, null).Should().Be("CN=it.test");
    }

    [Test]
    public void Apply_NamesComeAndGo_AreServedOrNot()
    {
        using var files = new TemporaryDirectory();
        var acme = new AcmeOptions { Names = ["a.test"], Store = files.File("acme") };
        Put(acme, "a.test");
        Put(acme, "b.test");
        var options = new HttpListenerOptions { Certificates = [_certificates.Issue("it", "it.test")] };
        using var store = Open(options);
        SubjectFor(store, "a.test").Should().Be("CN=it.test");

        store.Apply(options with { Acme = acme });
        SubjectFor(store, "a.test").Should().Be("CN=a.test");

        store.Apply(options with { Acme = acme with { Names = ["b.test"] } });
        SubjectFor(store, "a.test").Should().Be("CN=it.test");
        SubjectFor(store, "b.test").Should().Be("CN=b.test");
    }

    private static string SubjectFor(CertificateStore store, string? name) =>
        store.Select(name).ServerCertificateContext!.TargetCertificate.Subject;

    // As the keeper leaves it: one file with the key.
    private void Put(AcmeOptions acme, string name, DateTimeOffset? end = null)
    {
        var issued = _certificates.IssueUntil(end ?? Now.AddDays(90), "issued", name);
        Directory.CreateDirectory(acme.Folder);
        File.WriteAllText(acme.FileOf(name), File.ReadAllText(issued.File) + "\n" + File.ReadAllText(issued.KeyFile!));
    }

    private CertificateStore Open(CertificateOptions file) => Open(new HttpListenerOptions { Certificates = [file] });

    private CertificateStore Open(HttpListenerOptions options)
    {
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(_log));
        return new CertificateStore("web", options, [], _clock, loggers.CreateLogger<CertificateStore>());
    }

    private void Hours(int count)
    {
        for (var i = 0; i < count; i++)
        {
            _clock.Advance(TimeSpan.FromHours(1));
        }
    }
}
