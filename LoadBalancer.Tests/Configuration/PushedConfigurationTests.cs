using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration;

/// <summary>A node's file, with what was pushed to its cluster in the place of some sections.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class PushedConfigurationTests : IDisposable
{
    private const string Own = """
        { "LoadBalancer": {
            "ShutdownTimeout": "7s",
            "RateLimits": { "own": { "Permits": 4, "Window": "1h" } },
            "Listeners": {
                "web": { "Address": "http://127.0.0.2:8080", "Pool": "web" },
                "old": { "Address": "http://127.0.0.2:8081", "Pool": "web" } },
            "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } } } }
        """;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Test]
    public void Load_WithAPush_HasItsSectionsAndTheOthersOfTheFile()
    {
        var loaded = Load("""
            { "LoadBalancer": {
                // one that was pushed
                "ShutdownTimeout": "9s",
                "pools": { "web": { "Backends": {
                    "z": { "Address": "http://127.0.0.1:2" }, "a": { "Address": "http://127.0.0.1:3" } } } },
                "Listeners": {
                    "WEB": { "Pool": "web", "ErrorPages": { "503": "sorry.html" } },
                    "new": { "Address": "http://127.0.0.1:8082", "Pool": "web" } } } }
            """);

        loaded.Errors.Select(error => $"{error}").Should().Equal(
            $"LoadBalancer:Listeners:WEB:ErrorPages:503: '{_directory.File("sorry.html")}' cannot be read: no such file (line 7)");
        File.WriteAllText(_directory.File("sorry.html"), "sorry");
        loaded = loaded.Reload(loaded.Pushed);
        loaded.Errors.Should().BeEmpty();
        loaded.Options.ShutdownTimeout.Should().Be(TimeSpan.FromSeconds(7));
        loaded.Options.RateLimits.Should().BeEmpty();
        loaded.Options.Pools["web"].Backends.Keys.Should().Equal("z", "a");
        loaded.Options.Listeners.Select(listener => $"{listener.Key} {listener.Value.Address}").Should().BeEquivalentTo(
            "WEB http://127.0.0.2:8080", "new http://127.0.0.1:8082");
    }

    [TestCase(
        """{ "LoadBalancer": { "Pools": { "web": { "Polcy": "First", "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } } } }""",
        "LoadBalancer:Pools:web:Polcy: unknown key", "LoadBalancer:Listeners: no listener is defined; expected at least one (line 1)")]
    [TestCase("""{ "LoadBalancer": { "Manegement": {} } }""",
        "LoadBalancer:Manegement: unknown key", "LoadBalancer:Listeners: no listener is defined")]
    [TestCase("""{ "mode": "fl" }""", "mode: unknown key", "LoadBalancer:Listeners: no listener is defined")]
    [TestCase("{ ", "the pushed configuration: is not valid JSON at line 1, column 3: ")]
    [TestCase("[]", "the pushed configuration: is not a JSON object")]
    [TestCase("""{ "LoadBalancer": { "Pools": {}, "Pools": {} } }""", "LoadBalancer:Pools: stands twice in the file (line 1)")]
    [TestCase("""
        { "LoadBalancer": {
            "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } },
            "Listeners": { "new": { "Pool": "web" } } } }
        """, "LoadBalancer:Listeners:new:Address: is missing; expected for example http://127.0.0.1:8080 (line 3)")]
    public void Load_PushHasAFault_IsReportedWithItsPath(string pushed, params string[] errors)
    {
        var found = Load(pushed).Errors.Select(error => $"{error}").ToList();

        found.Should().HaveCount(errors.Length);
        foreach (var error in errors)
        {
            found.Should().ContainSingle(line => line.StartsWith(error, StringComparison.Ordinal));
        }
    }

    [TestCase("tasks", "tcp://10.0.0.1:1")]
    [TestCase("Http", "tcp://10.0.0.2:2")]
    public void Merge_OtherAddressOfAListener_IsTheNodesOwnWhereTheProtocolIsTheSame(string protocol, string expected)
    {
        const string Listener = "LoadBalancer:Listeners:jobs";
        static Dictionary<string, string?> Settings(string protocol, string address) => new(StringComparer.OrdinalIgnoreCase)
        {
            [Listener] = "",
            [Listener + ":Protocol"] = protocol,
            [Listener + ":WorkerAddress"] = address,
        };

        var merged = SharedSections.Merge(Settings("Tasks", "tcp://10.0.0.1:1"), Settings(protocol, "tcp://10.0.0.2:2"));

        merged[Listener + ":WorkerAddress"].Should().Be(expected);
    }

    [Test]
    public void Load_SectionOfTheFileHasAFault_IsReportedWhereItIsUsed()
    {
        var file = Own.Replace("\"7s\"", "\"x\"", StringComparison.Ordinal).Replace("Permits", "Prmits", StringComparison.Ordinal);

        Load("""
            { "LoadBalancer": {

                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } },
                "Listeners": { "web": { "Pool": "web" } } } }
            """, file).Errors.Should().ContainSingle().Which.ToString().Should()
            .StartWith("LoadBalancer:ShutdownTimeout: 'x' ").And.EndWith("(line 2)");
    }

    [Test]
    public void Load_CommandLine_OverridesThePush()
    {
        var file = _directory.File("lb.json");
        File.WriteAllText(file, Own);

        ConfigurationLoader.Load(file, new PushedText(1, Own), ["--LoadBalancer:Pools:web:Policy=First"]).Options.Pools["web"].Policy
            .Should().Be(PolicyName.First);
    }

    private LoadedConfiguration Load(string pushed, string file = Own)
    {
        File.WriteAllText(_directory.File("lb.json"), file);
        return ConfigurationLoader.Load(_directory.File("lb.json"), new PushedText(1, pushed), []);
    }
}
