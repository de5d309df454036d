using LoadBalancer.Configuration;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with ways to authenticate.</summary>
internal sealed class GuardValidatorTests
{
    private string _file = "";

    [SetUp]
    public void SetUp() => _file = Path.GetTempFileName();

    [TearDown]
    public void TearDown() => File.Delete(_file);

    [TestCase("Transfer-Encoding")]
    [TestCase("content-length")]
    [TestCase("Host")]
    public void Load_CopyHeadersWithAFieldThatFramesTheMessage_IsAnError(string field) =>
        Errors($$"""
            "Authentication": { "some": { "Type": "Forward", "Address": "http://127.0.0.1:1/", "CopyHeaders": [ "{{field}}" ] } },
            """).Should().ContainSingle().Which.Should().Be($"LoadBalancer:Authentication:some:CopyHeaders:0: {field} cannot be changed");

    [TestCase("\"Type\": \"Basic\", \"UsersFile\"")]
    [TestCase("\"Type\": \"Jwt\", \"Issuer\": \"a\", \"Audience\": \"b\", \"KeysFile\"")]
    public void Load_PathOfUsersOrKeys_IsRelativeToTheConfiguration(string setting) =>
        Errors($$"""
            "Authentication": { "some": { {{setting}}: "none/such" } },
            """).Should().ContainSingle().Which.Should().Contain($"'{Path.Combine(Path.GetDirectoryName(_file)!, "none/such")}'");

    private List<string> Errors(string guards)
    {
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": { {{guards}}
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:3000" } } } } } }
            """);
        return [.. ConfigurationLoader.Load(_file).Errors.Select(error => $"{error with { Line = null }}")];
    }
}
