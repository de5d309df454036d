using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with the settings of certificates that are got, with its path and reason; and what is only warned of.</summary>
internal sealed class AcmeValidatorTests
{
    private const string Plain = """, "plain": { "Address": "http://127.0.0.1:80", "Pool": "web" }""";

    [TestCase("\"Names\": [ \"a.test\" ]", "AcceptTerms: must be true")]
    [TestCase("\"AcceptTerms\": true", "Names: is missing; expected names")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"*.a.test\" ]", "Names: '*.a.test' is a wildcard, which HTTP-01 cannot prove")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\", \"192.0.2.1\" ]", "Names:1: '192.0.2.1' is an address; expected a name")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"[::1]\" ]", "Names: '[::1]' is an address; expected a name")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\", \"A.test.\" ]", "Names:1: 'A.test.' is there already, as 'a.test'")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a_b.test\" ]", "Names: 'a_b.test' is not a name")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"../a\" ]", "Names: '../a' is not a name")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ], \"Directory\": \"http://ca.test/directory\"",
        "Directory: 'http://ca.test/directory' is not valid")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ], \"Email\": \"nobody\"", "Email: 'nobody' is not valid")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ], \"Store\": \"\"", "Store: is empty; expected a directory")]
    [TestCase("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ], \"AuthorityFile\": \"/dev/null\"",
        "AuthorityFile: '/dev/null' cannot be used: there is no PEM certificate in it")]
    public void Acme_WithAFault_IsReportedWithItsPath(string acme, string error) =>
        Load(acme, Plain).Errors.Should().ContainSingle().Which.ToString().Should().StartWith($"LoadBalancer:Listeners:web:Acme:{error}");

    [Test]
    public void Acme_AtAPlainListener_IsAnError() =>
        Load("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ]", "", "http://127.0.0.1:8080").Errors.Should().ContainSingle()
            .Which.ToString().Should().StartWith("LoadBalancer:Listeners:web:Acme: is of no use for 'http://127.0.0.1:8080'");

    [TestCase("a.test")]
    [TestCase("BÜCHER.test.")]
    public void Acme_NamesThatAreNames_AreAccepted(string name)
    {
        var loaded = Load($"\"AcceptTerms\": true, \"Names\": [ \"{name}\" ]", Plain);

        (loaded.Errors, loaded.Warnings).Should().BeEquivalentTo((Array.Empty<object>(), Array.Empty<object>()));
    }

    [Test]
    public void Acme_NameIsTooLongForAFile_IsAnError()
    {
        var label = new string('a', 62);
        var name = $"{label}.{label}.{label}.{label}"; // 251 characters

        Load($"\"AcceptTerms\": true, \"Names\": [ \"{name}\" ]", Plain).Errors.Should().ContainSingle()
            .Which.ToString().Should().StartWith($"LoadBalancer:Listeners:web:Acme:Names: '{name}' has more than 250 characters");
    }

    [Test]
    [Platform("Linux")]
    public void Acme_StoreCannotBeWritten_IsAWarning() =>
        Load("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ], \"Store\": \"/proc/acme/deep\"", Plain).Warnings
            .Should().ContainSingle().Which.ToString().Should()
            .StartWith("LoadBalancer:Listeners:web:Acme:Store: '/proc/acme/deep' cannot be written: ");

    [TestCase("", "no listener has an Address with http://")]
    [TestCase(", \"plain\": { \"Address\": \"http://127.0.0.1:8080\", \"Pool\": \"web\" }",
        "no http:// listener has port 80, where the authority asks; it must be forwarded to one of http://127.0.0.1:8080")]
    public void Acme_NobodyToAsk_IsAWarning(string others, string warning)
    {
        var loaded = Load("\"AcceptTerms\": true, \"Names\": [ \"a.test\" ]", others);

        loaded.Errors.Should().BeEmpty();
        loaded.Warnings.Should().ContainSingle().Which.ToString().Should().StartWith($"LoadBalancer:Listeners:web:Acme: {warning}");
    }

    private static LoadedConfiguration Load(string acme, string others, string address = "https://127.0.0.1:8443")
    {
        using var files = new TemporaryDirectory();
        File.WriteAllText(files.File("it.json"), $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "{{address}}", "Pool": "web", "Acme": { {{acme}} } }{{others}} },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
            """);
        return ConfigurationLoader.Load(files.File("it.json"));
    }
}
