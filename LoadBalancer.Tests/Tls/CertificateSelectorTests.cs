using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;

namespace LoadBalancer.Tests.Tls;

/// <summary>Which certificate a client gets for the name that it asks for.</summary>
internal sealed class CertificateSelectorTests
{
    private static readonly string[] Names = ["default.test", "*.example", "a.example", "xn--bcher-kva.example", "*.xn--bcher-kva.test"];

    private static readonly TlsSettings Settings = new(new HttpListenerOptions(), [], null);

    private TestCertificates _certificates = null!;

    [SetUp]
    public void SetUp() => _certificates = new TestCertificates();

    [TearDown]
    public void TearDown() => _certificates.Dispose();

    [TestCase("a.example", "a.example")]
    [TestCase("A.EXAMPLE", "a.example")]
    [TestCase("b.example", "example")] // the wildcard's
    [TestCase("b.a.example", "default.test")]
    [TestCase("example", "default.test")]
    [TestCase("other.test", "default.test")]
    [TestCase(".", "default.test")]
    [TestCase("", "default.test")]
    [TestCase(null, "default.test")]
    [TestCase("xn--bcher-kva.example", "xn--bcher-kva.example")]
    [TestCase("b\u00fccher.example", "xn--bcher-kva.example")] // as some clients send it
    [TestCase("B\u00dcCHER.example", "xn--bcher-kva.example")]
    [TestCase("x.b\u00fccher.test", "xn--bcher-kva.test")] // the wildcard's
    public void Select_NameAskedFor_GivesTheNearest(string? serverName, string subject)
    {
        var selector = new CertificateSelector(
            [
                .. from name in Names.Index()
                   select ServerCertificate.Read(_certificates.Issue($"{name.Index}", name.Item)),
            ],
            Settings);

        selector.Select(new ClientHello(serverName, VerifiableKeys.All, true)).ServerCertificateContext!.TargetCertificate.Subject
            .Should().Be("CN=" + subject);
    }

    [Test]
    public void Select_TwoCertificatesWithAName_GivesTheFirst()
    {
        var selector = new CertificateSelector(
            [
                ServerCertificate.Read(_certificates.Issue("1", "a.test")),
                ServerCertificate.Read(_certificates.Issue("2", "b.test", "a.test")),
            ],
            Settings);

        selector.Select(new ClientHello("a.test", VerifiableKeys.All, true)).ServerCertificateContext!.TargetCertificate.Subject
            .Should().Be("CN=a.test");
    }

    [TestCase((int)VerifiableKeys.All, "CN=ecdsa.test")]
    [TestCase((int)VerifiableKeys.P256, "CN=ecdsa.test")]
    [TestCase((int)VerifiableKeys.Rsa, "CN=rsa.test")]
    [TestCase((int)(VerifiableKeys.Rsa | VerifiableKeys.P384), "CN=rsa.test")]
    [TestCase((int)VerifiableKeys.None, "CN=ecdsa.test")]
    public void Select_RsaAndEcdsaWithAName_GivesWhatTheClientCanVerify(int keys, string subject)
    {
        var selector = new CertificateSelector(
            [
                ServerCertificate.Read(_certificates.IssueRsa("1", "rsa.test", "both.test")),
                ServerCertificate.Read(_certificates.Issue("2", "ecdsa.test", "both.test")),
            ],
            Settings);

        selector.Select(new ClientHello("both.test", (VerifiableKeys)keys, true)).ServerCertificateContext!.TargetCertificate.Subject
            .Should().Be(subject);
    }

    [Test]
    public void Select_NoName_GivesATwinOfTheFirstThatTheClientCanVerify()
    {
        var selector = new CertificateSelector(
            [
                ServerCertificate.Read(_certificates.IssueRsa("1", "a.test")),
                ServerCertificate.Read(_certificates.Issue("2", "other.test", "a.test")),
            ],
            Settings);

        selector.Select(new ClientHello(null, VerifiableKeys.P256, true)).ServerCertificateContext!.TargetCertificate.Subject
            .Should().Be("CN=other.test");
    }
}
