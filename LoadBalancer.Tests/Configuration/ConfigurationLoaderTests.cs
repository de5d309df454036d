using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration;

[NonParallelizable] // The environment is the process's.
internal sealed class ConfigurationLoaderTests
{
    private const string Valid = """
        { "LoadBalancer": {
            "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
            "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:3000" } } } } } }
        """;

    private string _file = "";

    [SetUp]
    public void MakeFile() => _file = Path.GetTempFileName();

    [TearDown]
    public void DeleteFile() => File.Delete(_file);

    [TestCase(true, true, "beside")]
    [TestCase(true, false, "beside")]
    [TestCase(false, true, "installed")]
    [TestCase(false, false, "beside")]
    public void FirstOf_FilesThatAreThere_IsTheSecondOnlyAlone(bool isBeside, bool isInstalled, string expected)
    {
        using var directory = new TemporaryDirectory();
        var (beside, installed) = (directory.File("beside"), directory.File("installed"));
        foreach (var (file, _) in new[] { (beside, isBeside), (installed, isInstalled) }.Where(entry => entry.Item2))
        {
            File.WriteAllText(file, "");
        }

        Path.GetFileName(ConfigurationLoader.FirstOf(beside, installed)).Should().Be(expected);
    }

    [Test]
    public void Load_ShippedFile_IsTheFrenchDesign()
    {
        var loaded = ConfigurationLoader.Load();

        loaded.Errors.Should().BeEmpty();
        var listener = loaded.Options.Listeners["web"].Should().BeOfType<HttpListenerOptions>().Subject;
        listener.Address.ToString().Should().Be("http://127.0.0.1:8080");
        listener.StatusEndpoints.Should().BeTrue();
        loaded.Options.Pools["web"].Backends.Values.Select(backend => $"{backend.Address}")
            .Should().Equal("http://127.0.0.1:3000", "http://127.0.0.1:3001");
        loaded.Options.Pools["web"].HealthCheck.Should().Be(new HealthCheckOptions());
        loaded.Options.Pools["web"].HealthCheck!.Interval.Should().Be(TimeSpan.FromSeconds(30));
    }

    [Test]
    public void Load_CommentsAndTrailingCommas_AreAccepted() =>
        Errors("/* c */ " + Valid.Replace("\"Pool\": \"web\" }", "\"Pool\": \"web\", // why\n }", StringComparison.Ordinal))
            .Should().BeEmpty();

    [Test]
    public void Load_NoHealthCheck_IsNoProbing() => Load(Valid).Options.Pools["web"].HealthCheck.Should().BeNull();

    [Test]
    public void Load_NullHealthCheck_IsNoProbing() => LoadPool("\"HealthCheck\": null").HealthCheck.Should().BeNull();

    [Test]
    public void Load_EmptyHealthCheck_ProbesWithDefaults() =>
        LoadPool("\"HealthCheck\": {}").HealthCheck.Should().Be(new HealthCheckOptions());

    [Test]
    public void Load_Backends_KeepTheOrderOfTheFile()
    {
        var pool = LoadPool(
            "\"Policy\": \"First\"", "\"zeta\": { \"Address\": \"http://a:1\" }, \"alpha\": { \"Address\": \"http://a:2\" }");

        pool.Backends.Keys.Should().Equal("zeta", "alpha");
    }

    [Test]
    public void Load_CommandLine_OverridesTheFile() =>
        Load(Valid, "--LoadBalancer:Pools:web:Policy=First").Options.Pools["web"].Policy.Should().Be(PolicyName.First);

    [Test]
    public void Load_Environment_OverridesTheFile()
    {
        Environment.SetEnvironmentVariable("LoadBalancer__Pools__web__Retry__Attempts", "7");
        try
        {
            Load(Valid).Options.Pools["web"].Retry.Attempts.Should().Be(7);
        }
        finally
        {
            Environment.SetEnvironmentVariable("LoadBalancer__Pools__web__Retry__Attempts", null);
        }
    }

    [TestCase("")]
    [TestCase("/nowhere/authority.pem")]
    public void Load_AuthorityFileOfNoUse_SaysSo(string file) =>
        Load(Valid, $"--LoadBalancer:Pools:web:Tls:AuthorityFile={file}").Errors.Should().ContainSingle()
            .Which.ToString().Should().StartWith($"LoadBalancer:Pools:web:Tls:AuthorityFile: '{file}' cannot be used: ");

    [Test]
    public void Load_ManyMistakes_ReportsEachOnceWithItsPath()
    {
        Errors("""
            { "Oops": 1,
              "LoadBalancer": {
                "Listeners": {
                  "web": { "Address": "http://127.0.0.1:8080", "Pool": "wb", "StatusEndpoint": true },
                  "two": { "Address": "http://*:8080", "Pool": "web" },
                  "three": { "Address": "udp://127.0.0.1", "Protocol": "Htp" } },
                "Pools": {
                  "web": {
                    "Backends": {
                      "b1": { "Address": "htp://x" }, "b2": { "Address": "http://a:1", "Weight": "heavy" },
                      "b3": { "Weight": -1 }, "b4": 7 },
                    "HealthCheck": { "Interval": "30", "Fall": 0, "Intervall": "00:00:01", "Timeout": { "a": 1 } } },
                  "list": { "Backends": [ "http://a:1" ] },
                  "none": {} } } }
            """).Should().BeEquivalentTo(
            "Oops: unknown key; expected LoadBalancer, $schema",
            "LoadBalancer:Listeners:web:StatusEndpoint: unknown key; did you mean 'StatusEndpoints'?",
            "LoadBalancer:Listeners:web:Pool: pool 'wb' is not defined; expected one of 'web', 'list', 'none'",
            "LoadBalancer:Listeners:two:Address: http://*:8080 is already taken by listener 'web'",
            "LoadBalancer:Listeners:three:Address: 'udp://127.0.0.1' has no port; expected udp://host:port",
            "LoadBalancer:Listeners:three:Protocol: 'Htp' is not valid; expected Http or Tcp or Tasks or Broker; did you mean 'Http'?",
            "LoadBalancer:Listeners:three:Pool: is missing; expected one of 'web', 'list', 'none'",
            "LoadBalancer:Pools:web:Backends:b1:Address: 'htp://x' is not a valid address; expected http://, https:// or tcp://host:port",
            "LoadBalancer:Pools:web:Backends:b2:Weight: 'heavy' is not valid; expected a whole number",
            "LoadBalancer:Pools:web:Backends:b3:Address: is missing; expected for example http://127.0.0.1:3000",
            "LoadBalancer:Pools:web:Backends:b3:Weight: '-1' is out of range; expected 0 to 1000",
            "LoadBalancer:Pools:web:Backends:b4: '7' is not an object; "
            + "expected { Address, Resolve, HeartbeatAddress, Weight, MaxInFlight, Backup, AdminState }",
            "LoadBalancer:Pools:web:Backends:b4:Address: is missing; expected for example http://127.0.0.1:3000",
            "LoadBalancer:Pools:web:HealthCheck:Interval: '30' has no unit; "
            + "expected a duration, for example 500ms, 30s, 5m, 1h or 00:00:30",
            "LoadBalancer:Pools:web:HealthCheck:Intervall: unknown key; did you mean 'Interval'?",
            "LoadBalancer:Pools:web:HealthCheck:Fall: '0' is out of range; expected 1 or more",
            "LoadBalancer:Pools:web:HealthCheck:Timeout: is an object or a list; "
            + "expected a duration, for example 500ms, 30s, 5m, 1h or 00:00:30",
            "LoadBalancer:Pools:list:Backends: expected an object with a name for each entry",
            "LoadBalancer:Pools:none:Backends: no backend is defined; expected at least one");
    }

    [TestCase("{}", "LoadBalancer:Listeners: no listener is defined; expected at least one")]
    [TestCase("{ \"LoadBalancer\": { \"Tracing\": { \"Sample\": 1.5 } } }",
        "LoadBalancer:Tracing:Sample: '1.5' is out of range; expected 0 to 1")]
    [TestCase("[]", "{file}: is not a JSON object")]
    [TestCase("{ \"LoadBalancer\": 5 }",
        "LoadBalancer: '5' is not an object; "
        + "expected { ShutdownTimeout, Listeners, Pools, RateLimits, Authentication, Tracing, Management, Cluster }")]
    public void Load_NotAConfiguration_SaysWhy(string json, string error) =>
        Errors(json).Should().Contain(error.Replace("{file}", _file, StringComparison.Ordinal));

    [Test]
    public void Load_BrokenJson_NamesTheLine() =>
        Errors("{\n  \"LoadBalancer\": {\n    \"a\" 1\n").Should().ContainSingle()
            .Which.Should().StartWith($"{_file}: is not valid JSON at line 3, column 9: '1' is invalid");

    [TestCase("\"HealthCheck\": \"\"", "LoadBalancer:Pools:web:HealthCheck: '' is not an object")]
    [TestCase("\"Retry\": []", "LoadBalancer:Pools:web:Retry: '[]' is not an object")]
    [TestCase("\"Policy\": {}", "LoadBalancer:Pools:web:Policy: is an object or a list")]
    public void Load_WrongJsonType_IsAnError(string setting, string error) =>
        Errors(Valid.Replace("\"Backends\":", setting + ", \"Backends\":", StringComparison.Ordinal))
            .Should().ContainSingle().Which.Should().StartWith(error);

    [Test]
    public void Load_SchemaForEditors_IsNoUnknownKey() =>
        Errors(Valid.Replace("{ \"LoadBalancer\"", "{ \"$schema\": \"loadbalancer.json\", \"LoadBalancer\"", StringComparison.Ordinal))
            .Should().BeEmpty();

    [Test]
    public void Load_UnknownKeyLikeNoOther_ListsWhatIsAllowed() =>
        Errors(Valid.Replace("\"Backends\":", "\"Retry\": { \"Colour\": 1 }, \"Backends\":", StringComparison.Ordinal))
            .Should().Equal("LoadBalancer:Pools:web:Retry:Colour: unknown key; expected Attempts, Budget");

    [Test]
    public void Load_UnknownKeyWithoutValue_IsAnErrorToo() =>
        Errors(Valid.Replace("\"Backends\":", "\"Hege\": null, \"Backends\":", StringComparison.Ordinal))
            .Should().Equal("LoadBalancer:Pools:web:Hege: unknown key; did you mean 'Hedge'?");

    [Test]
    public void Load_BackendWithoutValue_IsNotThere() =>
        LoadPool("\"Policy\": null", "\"b1\": { \"Address\": \"http://a:1\" }, \"b2\": null").Backends.Keys.Should().Equal("b1");

    [Test]
    public void Load_UnknownKeyOfAListener_ListsTheSettingsOfItsProtocol() =>
        Errors(Valid.Replace("\"Pool\": \"web\"", "\"Pool\": \"web\", \"Colour\": 1", StringComparison.Ordinal))
            .Should().ContainSingle().Which.Should().Contain("Protocol, Address, Pool").And.Contain("Routes").And.NotContain("TaskTimeout");

    [Test]
    public void Load_ErrorInTheFile_NamesItsLine() =>
        Load("""
            // a comment
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", /* over
                  two lines */ "Pool": "web",
                  "Routes": [
                    { "Pool": "web", "Path": "/a" },
                    { "Pool": "other" } ] } },
                "Pools": { "web": {
                  "Backends": {
                    "b1": { "Weight": 1 } },
                  "Policy": "Fist" } } } }
            """).Errors.Select(error => (error.Path["LoadBalancer:".Length..], error.Line)).Should().BeEquivalentTo(new[]
        {
            ("Listeners:web:Routes:1:Pool", 7), ("Pools:web:Backends:b1:Address", 10), ("Pools:web:Policy", 11),
        });

    [Test]
    public void Load_DoubledKey_NamesTheLineOfTheSecond() =>
        Load("{\n\"LoadBalancer\": {},\n\"LoadBalancer\": {} }").Errors.Should().ContainSingle()
            .Which.ToString().Should().Be("LoadBalancer: stands twice in the file (line 3)");

    [Test]
    public void Load_ErrorOnTheCommandLine_NamesNoLine() =>
        Load(Valid.Replace("\"Backends\":", "\"Policy\": \"First\", \"Backends\":", StringComparison.Ordinal),
            "--LoadBalancer:Pools:web:Policy=Fist", "--LoadBalancer:Pools:web:Retry:Oops=1")
            .Errors.Select(error => error.Line).Should().HaveCount(2).And.OnlyContain(line => line == null);

    [Test]
    public void Load_ByteOrderMark_IsSkipped()
    {
        File.WriteAllText(_file, Valid, System.Text.Encoding.UTF8);

        ConfigurationLoader.Load(_file).Errors.Should().BeEmpty();
    }

    [Test]
    public void Load_NotUtf8_SaysSo()
    {
        File.WriteAllBytes(_file, [.. "{ \"a\": \""u8, 0xFF, .. "\" }"u8]);

        ConfigurationLoader.Load(_file).Errors.Select(error => $"{error}").Should().Equal($"{_file}: is not valid UTF-8");
    }

    [Test]
    public void Load_EmptyFileName_SaysSo() =>
        ConfigurationLoader.Load("").Errors.Select(error => $"{error}").Should().Equal("--config: names no file");

    [Test]
    public void Load_BackendsNamedByNumbers_AreNoList() =>
        Errors(Valid.Replace("\"b1\"", "\"0\"", StringComparison.Ordinal)).Should().BeEmpty();

    [Test]
    public void Load_DoubledKey_IsAnError() =>
        Errors(Valid.Replace("\"Pools\":", "\"listeners\": {}, \"Pools\":", StringComparison.Ordinal))
            .Should().Contain("LoadBalancer:listeners: stands twice in the file");

    [Test]
    public void Load_NoSuchFile_SaysSo() =>
        ConfigurationLoader.Load("/nowhere/lb.json").Errors.Select(error => $"{error}")
            .Should().Equal($"{Path.GetFullPath("/nowhere/lb.json")}: no such file");

    [TestCase("http://0.0.0.0:8080")]
    [TestCase("http://localhost:8080")]
    [TestCase("http://127.0.0.1:8080")]
    public void Load_TwoListenersOnOnePort_IsAnError(string address) =>
        Errors(WithListenerAt(address)).Should().ContainSingle().Which.Should().Contain("is already taken by listener 'other'");

    [Test]
    public void Load_TwoLoopbackAddressesOnOnePort_IsNoError() =>
        Errors(WithListenerAt("http://127.0.0.2:8080")).Should().BeEmpty();

    private static string WithListenerAt(string address) => Valid.Replace(
        "\"Listeners\": {", $"\"Listeners\": {{ \"other\": {{ \"Address\": \"{address}\", \"Pool\": \"web\" }},", StringComparison.Ordinal);

    private PoolOptions LoadPool(string setting, string backends = "\"b1\": { \"Address\": \"http://a:1\" }")
    {
        var loaded = Load($$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { "Backends": { {{backends}} }, {{setting}} } } } }
            """);
        loaded.Errors.Should().BeEmpty();
        return loaded.Options.Pools["web"];
    }

    private IEnumerable<string> Errors(string json) => Load(json).Errors.Select(error => $"{error with { Line = null }}");

    private LoadedConfiguration Load(string json, params string[] overrides)
    {
        File.WriteAllText(_file, json);
        return ConfigurationLoader.Load(_file, overrides);
    }
}
