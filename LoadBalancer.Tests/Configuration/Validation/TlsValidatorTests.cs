using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with the TLS of a listener, with its path and reason; what is only warned of; and what is right.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TlsValidatorTests : IDisposable
{
    private const string Listener = "LoadBalancer:Listeners:web";

    private readonly TestCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [TestCase("\"MinProtocol\": \"Tls11\"", "MinProtocol: 'Tls11' is not valid; expected Tls12 or Tls13")]
    [TestCase("\"Ciphers\": \"Old\"", "Ciphers: 'Old' needs TLS 1.0, which is not spoken")]
    [TestCase("\"Ciphers\": \"RC4\"", "Ciphers: 'RC4' is not a cipher suite that is spoken; expected Modern, Intermediate, or names")]
    [TestCase("\"Ciphers\": [ \"TLS_AES_128_GCM_SHA256\", \"Modern\" ]", "Ciphers:1: 'Modern' is a profile, and cannot be combined")]
    [TestCase("\"Ciphers\": \"ECDHE-RSA-AES128-GCM-SHA256\", \"MinProtocol\": \"Tls13\"", "Ciphers: has no cipher suite of TLS 1.3")]
    [TestCase("\"ClientCertificates\": {}", "ClientCertificates:AuthorityFile: is missing; expected a PEM file of the authorities")]
    [TestCase("\"ClientCertificates\": { \"AuthorityFile\": \"/nowhere.pem\" }",
        "ClientCertificates:AuthorityFile: '/nowhere.pem' cannot be used: no such file")]
    [TestCase("\"ClientCertificates\": { \"AuthorityFile\": \"/dev/null\", \"Mode\": \"Allow\" }",
        "ClientCertificates:AuthorityFile: '/dev/null' cannot be used: there is no PEM certificate in it")]
    public void Tls_WithAFault_IsReportedWithItsPath(string setting, string error) =>
        Load(_certificates.Issue("it", "it.test"), setting).Errors.Should().ContainSingle().Which.ToString().Should()
            .StartWith($"{Listener}:{error}");

    [TestCase("\"MinProtocol\": \"Tls13\"")]
    [TestCase("\"Ciphers\": \"Modern\", \"MinProtocol\": \"Tls13\"")]
    [TestCase("\"Ciphers\": [ \"Intermediate\" ]")]
    [TestCase("\"Ciphers\": [ \"ECDHE-RSA-AES128-GCM-SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\" ]")]
    public void Tls_WithoutAFault_IsAccepted(string setting)
    {
        var loaded = Load(_certificates.Issue("it", "it.test"), setting);

        (loaded.Errors, loaded.Warnings).Should().BeEquivalentTo((Array.Empty<object>(), Array.Empty<object>()));
    }

    [Test]
    public void Certificate_EncryptedKeyWithoutAPassword_SaysWhatIsExpected() =>
        ErrorOf(_certificates.WithEncryptedKey(_certificates.Issue("it", "it.test"), "secret") with { KeyPasswordFile = null })
            .Should().EndWith("its key is encrypted; expected KeyPasswordFile, or a key without a password");

    [Test]
    public void Certificate_EncryptedKeyWithAWrongPassword_SaysSo()
    {
        var certificate = _certificates.WithEncryptedKey(_certificates.Issue("it", "it.test"), "secret");

        ErrorOf(certificate with { KeyPasswordFile = _certificates.Write("wrong", "guess") })
            .Should().Contain("cannot be decrypted with the password in KeyPasswordFile").And.NotContain("guess");
    }

    [Test]
    public void Certificate_PfxWithoutItsPassword_SaysWhatIsExpected() =>
        ErrorOf(_certificates.AsPfx(_certificates.Issue("it", "it.test"), "secret") with { KeyPasswordFile = null })
            .Should().EndWith("it is no PFX file, or has a password; expected KeyPasswordFile");

    [Test]
    public void Certificate_PfxWithAKeyFile_SaysWhatIsExpected()
    {
        var pem = _certificates.Issue("it", "it.test");

        ErrorOf(_certificates.AsPfx(pem, null) with { KeyFile = pem.KeyFile })
            .Should().EndWith("it is a PFX file, which has its key in it; expected no KeyFile");
    }

    [Test]
    public void Certificate_NoSuchPasswordFile_NamesIt() =>
        ErrorOf(_certificates.Issue("it", "it.test") with { KeyPasswordFile = "/nowhere/password" })
            .Should().Contain("/nowhere/password");

    [Test]
    public void Certificate_Expired_IsAWarning()
    {
        var end = TimeProvider.System.GetUtcNow().AddDays(-3);

        var loaded = Load(_certificates.IssueUntil(end, "it", "it.test"));

        loaded.Errors.Should().BeEmpty();
        loaded.Warnings.Should().ContainSingle().Which.Message.Should()
            .StartWith("'")
            .And.Contain($"has expired at {end:yyyy-MM-dd}").And.EndWith("; clients refuse it");
    }

    [Test]
    public void Certificate_NotYetValid_IsAWarning()
    {
        var begin = TimeProvider.System.GetUtcNow().AddDays(3);

        Load(_certificates.IssueFrom(begin, "it", "it.test")).Warnings.Should().ContainSingle().Which.Message.Should()
            .Contain($"is not valid before {begin:yyyy-MM-dd}");
    }

    [Test]
    [Platform(Exclude = "Win", Reason = "programs are stopped by POSIX signals here")]
    public async Task Check_CertificateExpired_PrintsAWarningAndSucceeds()
    {
        var file = Write(_certificates.IssueUntil(TimeProvider.System.GetUtcNow().AddDays(-3), "it", "it.test"), null);

        var (code, output, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", file);

        (code, errors).Should().Be((0, ""));
        output.Should().StartWith($"warning: {Listener}:Certificates:0:File: ").And.EndWith("configuration is valid");
    }

    [Test]
    public void ClientCertificates_WithoutCertificates_IsAnError() =>
        ConfigurationLoader.Load(_certificates.Write("settings.json", $$"""
            { "LoadBalancer": {
              "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web",
                "ClientCertificates": { "AuthorityFile": "{{_certificates.AuthorityFile}}" } } },
              "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
            """)).Errors.Should().ContainSingle().Which.ToString().Should()
            .StartWith($"{Listener}:ClientCertificates: is of no use without Certificates");

    [Test]
    public void ClientCertificates_AuthorityFileWithoutARoot_IsAWarning()
    {
        var chain = _certificates.IssueThroughIntermediate("inter", "it.test").File;
        Load(_certificates.Issue("it", "it.test"), $$"""
            "ClientCertificates": { "AuthorityFile": "{{chain}}" }
            """).Warnings.Should().ContainSingle().Which.Message.Should()
            .Contain("has no root (a certificate that is its own issuer)");
    }

    [Test]
    public void ClientCertificates_RootHasExpired_IsAWarning()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var root = new CertificateRequest("CN=Old", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-9), TimeProvider.System.GetUtcNow().AddDays(-2));
        var file = _certificates.Write("old.pem", root.ExportCertificatePem());

        Load(_certificates.Issue("it", "it.test"), $$"""
            "ClientCertificates": { "AuthorityFile": "{{file}}" }
            """).Warnings.Should().ContainSingle().Which.Message.Should()
            .StartWith($"the root in '{file}' has expired at ").And.EndWith("; no client is accepted");
    }

    private string ErrorOf(CertificateOptions certificate)
    {
        var error = Load(certificate).Errors.Should().ContainSingle().Subject;
        error.Path.Should().Be($"{Listener}:Certificates:0:File");
        return error.Message;
    }

    private LoadedConfiguration Load(CertificateOptions certificate, string? setting = null) =>
        ConfigurationLoader.Load(Write(certificate, setting));

    private string Write(CertificateOptions certificate, string? setting) => _certificates.Write("settings.json", $$"""
        { "LoadBalancer": {
          "Listeners": { "web": { "Address": "https://127.0.0.1:8443", "Pool": "web", {{(setting is null ? "" : setting + ",")}}
            "Certificates": [ {{JsonSerializer.Serialize(certificate)}} ] } },
          "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
        """);
}
