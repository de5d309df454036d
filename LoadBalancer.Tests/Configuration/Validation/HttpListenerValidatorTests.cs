using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HttpListenerValidatorTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [TestCase("false")]
    [TestCase("none")]
    [TestCase("stdout")]
    [TestCase("")]
    public void Load_AccessLogThatIsNoFileName_IsAnError(string setting) =>
        Load($"\"AccessLog\": \"{setting}\"").Errors.Should().ContainSingle().Which.Should().BeEquivalentTo(new
        {
            Path = "LoadBalancer:Listeners:web:AccessLog",
            Message = $"'{setting}' is not valid; expected Off, Console or a file, whose name has a dot or a slash, for example "
                + "logs/access.log",
        });

    [TestCase("off")]
    [TestCase("Console")]
    [TestCase("access.log")]
    [TestCase("./access")]
    public void Load_AccessLogThatCanBeWritten_IsNoError(string setting) =>
        Load($"\"AccessLog\": \"{setting}\"").Errors.Should().BeEmpty();

    [Test]
    public void Load_AccessLogInNoDirectory_SaysSo() =>
        Load("\"AccessLog\": \"/nowhere/access.log\"").Errors.Should().ContainSingle().Which.Message.Should()
            .StartWith("'/nowhere/access.log' cannot be written: there is no directory '").And.EndWith("nowhere'");

    [Test]
    public void Load_AccessLogThatIsADirectory_SaysSo() =>
        Load("\"AccessLog\": \"./\"").Errors.Should().ContainSingle().Which.Message.Should()
            .Be("'./' cannot be written: it is a directory");

    [Test]
    public void Load_AccessLog_IsNotMadeByTheCheck()
    {
        var log = _directory.File("access.log");

        Load($"\"AccessLog\": {System.Text.Json.JsonSerializer.Serialize(log)}").Errors.Should().BeEmpty();

        File.Exists(log).Should().BeFalse();
    }

    [TestCase("Host")]
    [TestCase("Connection")]
    [TestCase("content-length")]
    public void Load_RequestIdInAFieldThatFramesTheMessage_IsAnError(string field) =>
        Load($"\"RequestId\": \"{field}\"").Errors.Should().ContainSingle().Which.Message.Should()
            .Be($"{field} cannot be changed; expected for example X-Request-Id");

    [TestCase("")]
    [TestCase("a b")]
    [TestCase("a,b")]
    [TestCase("a\\r\\nX: y")]
    public void Load_ViaThatIsNoName_IsAnError(string name)
    {
        var error = Load($"\"Via\": \"{name}\"").Errors.Should().ContainSingle().Which;

        error.Path.Should().Be("LoadBalancer:Listeners:web:Via");
        error.Message.Should().EndWith("is not a name for Via; expected letters, digits and hyphens, for example edge");
    }

    [TestCase("\"200\": \"page.html\"", "200", "'200' is no status of an error; expected 400 to 599, 4xx or 5xx")]
    [TestCase("\"5x\": \"page.html\"", "5x", "'5x' is no status of an error; expected 400 to 599, 4xx or 5xx")]
    [TestCase("\"503\": \"\"", "503", "is empty; expected a file")]
    [TestCase("\"503\": \"/nowhere/x.html\"", "503", "'/nowhere/x.html' cannot be read: no such file")]
    public void Load_ErrorPageThatCannotBeSent_IsAnError(string pages, string key, string message)
    {
        File.WriteAllText(_directory.File("page.html"), "");

        Load($"\"ErrorPages\": {{ {pages} }}").Errors.Should().ContainSingle().Which.Should()
            .BeEquivalentTo(new { Path = $"LoadBalancer:Listeners:web:ErrorPages:{key}", Message = message });
    }

    [Test]
    public void Load_ErrorPageThatIsTooLarge_IsAnError()
    {
        File.WriteAllBytes(_directory.File("page.html"), new byte[1024 * 1024 + 1]);

        Load("\"ErrorPages\": { \"5xx\": \"page.html\" }").Errors.Should().ContainSingle().Which.Message.Should()
            .Be($"'{_directory.File("page.html")}' has more than 1048576 bytes");
    }

    [Test]
    public void Load_PathsOfPagesAndResponses_AreRelativeToTheConfiguration()
    {
        File.WriteAllText(_directory.File("page.html"), "");

        var loaded = Load(
            "\"ErrorPages\": { \"5xx\": \"page.html\" }, \"Routes\": [ { \"Respond\": { \"File\": \"./page.html\" } } ]");

        loaded.Errors.Should().BeEmpty();
        var listener = (LoadBalancer.Configuration.Options.HttpListenerOptions)loaded.Options.Listeners["web"];
        listener.ErrorPages.Should().ContainSingle().Which.Value.Should().Be(_directory.File("page.html"));
        listener.Routes[0].Respond!.File.Should().Be(_directory.File("page.html"));
    }

    [TestCase("/api/*", "/api")]
    [TestCase("/a/*/b", "/a")]
    [TestCase("/*", "/api")]
    public void Load_StarInAPath_IsAnErrorThatNamesWhatIsMeant(string path, string meant) =>
        Load($$"""
            "Routes": [ { "Path": "{{path}}", "Pool": "web" } ]
            """).Errors.Should().ContainSingle().Which.Message.Should()
            .Be($"'{path}' has a *, which stands for nothing here; expected for example {meant}, which takes everything below it too");

    [TestCase("/api?x=1")]
    [TestCase("/api#top")]
    [TestCase("/a b")]
    public void Load_PathThatNoRequestHas_IsAnError(string path) =>
        Load($$"""
            "Routes": [ { "Path": "{{path}}", "Pool": "web" } ]
            """).Errors.Should().ContainSingle().Which.Message.Should().StartWith($"'{path}' can never match");

    [TestCase("", "\"Host\": \"a.test\"")]
    [TestCase("\"Path\": \"/\"", "\"Path\": \"/api\"")]
    [TestCase("\"Path\": \"/api\"", "\"Path\": \"/api/\"")]
    [TestCase("\"Path\": \"/api/\"", "\"Path\": \"/api/v1\", \"Host\": \"a.test\"")]
    [TestCase("\"Host\": \"A.test\"", "\"Host\": \"a.TEST\", \"Path\": \"/x\"")]
    [TestCase("\"Host\": \"*.b.test\"", "\"Host\": \"a.b.test\"")]
    [TestCase("\"Host\": \"*.b.test\"", "\"Host\": \"*.a.b.test\"")]
    public void Load_RouteBehindOneThatTakesAll_IsAWarning(string first, string second)
    {
        var loaded = Load(Routes(first, second));

        loaded.Errors.Should().BeEmpty();
        loaded.Warnings.Should().ContainSingle().Which.Should().BeEquivalentTo(new
        {
            Path = "LoadBalancer:Listeners:web:Routes:1",
            Message = "never matches: Routes:0, which comes first, takes all of its requests; expected it before that",
        });
    }

    [TestCase("\"Path\": \"/api\"", "\"Path\": \"/apix\"")]
    [TestCase("\"Path\": \"/api/v1\"", "\"Path\": \"/api\"")]
    [TestCase("\"Path\": \"/api\"", "\"Path\": \"/API\"")]
    [TestCase("\"Path\": \"/api\", \"Host\": \"a.test\"", "\"Path\": \"/api\"")]
    [TestCase("\"Host\": \"*.b.test\"", "\"Host\": \"b.test\"")]
    [TestCase("\"Host\": \"*.b.test\"", "\"Host\": \"a.cb.test\"")]
    [TestCase("\"Host\": \"a.b.test\"", "\"Host\": \"*.b.test\"")]
    public void Load_RouteBehindOneThatTakesOthers_IsNoWarning(string first, string second)
    {
        var loaded = Load(Routes(first, second));

        (loaded.Errors, loaded.Warnings).Should().BeEquivalentTo((Array.Empty<object>(), Array.Empty<object>()));
    }

    [TestCase("1.1+2", null)]
    [TestCase("2", null)]
    [TestCase("2+1.1", "'2+1.1' is not valid; expected 1.1, 2 or 1.1+2")]
    public void Load_HttpVersion_IsOneOrBoth(string version, string? error) =>
        Load($"\"HttpVersion\": \"{version}\"").Errors.Select(each => each.Message).Should()
            .BeEquivalentTo(error is null ? [] : new[] { error });

    [TestCase("\"Count\": 0", "HeaderLimits:Count: '0' is out of range; expected 1 to 10000")]
    [TestCase("\"TotalBytes\": 1048577", "HeaderLimits:TotalBytes: '1048577' is out of range; expected 1 to 1048576")]
    [TestCase("\"LineBytes\": -1", "HeaderLimits:LineBytes: '-1' is out of range; expected 1 to 1048576")]
    [TestCase("\"Bytes\": 1", "HeaderLimits:Bytes: unknown key; expected Count, TotalBytes, LineBytes")]
    public void Load_HeaderLimitsOutOfRange_IsAnError(string limit, string error) =>
        Load($"\"HeaderLimits\": {{ {limit} }}").Errors.Should().ContainSingle().Which.ToString().Should()
            .Be($"LoadBalancer:Listeners:web:{error} (line 2)");

    [Test]
    public void Load_CertificatesOnAPlainListener_IsAnError() =>
        Load("\"Certificates\": [ { \"File\": \"/nowhere.pem\" } ]").Errors.Should().Contain(error =>
            error.Path == "LoadBalancer:Listeners:web:Certificates"
            && error.Message == "is of no use for 'http://127.0.0.1:8080'; expected an Address with https://");

    public void Dispose() => _directory.Dispose();

    private static string Routes(string first, string second)
    {
        static string Route(string when) => $"{{ {when}{(when.Length > 0 ? "," : "")} \"Pool\": \"web\" }}";
        return $"\"Routes\": [ {Route(first)}, {Route(second)} ]";
    }

    private LoadedConfiguration Load(string setting)
    {
        var file = _directory.File("loadbalancer.json");
        File.WriteAllText(file, $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web", {{setting}} } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://a:1" } } } } } }
            """);
        return ConfigurationLoader.Load(file);
    }
}
