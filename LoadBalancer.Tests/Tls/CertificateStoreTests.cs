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

    private CertificateStore Open(CertificateOptions file)
    {
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(_log));
        return new CertificateStore(
            "web", new HttpListenerOptions { Certificates = [file] }, [], _clock, loggers.CreateLogger<CertificateStore>());
    }

    private void Hours(int count)
    {
        for (var i = 0; i < count; i++)
        {
            _clock.Advance(TimeSpan.FromHours(1));
        }
    }
}
