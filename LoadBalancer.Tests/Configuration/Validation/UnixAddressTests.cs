using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>Unix sockets as addresses of listeners and backends.</summary>
[Platform("Linux")]
internal sealed class UnixAddressTests
{
    private const string Backend = """ "Backends": { "b": { "Address": "unix:/run/app.sock" } } """;

    private string _file = "";

    [SetUp]
    public void SetUp() => _file = Path.GetTempFileName();

    [TearDown]
    public void TearDown() => File.Delete(_file);

    [Test]
    public void Load_UnixSocketsEverywhere_IsValid()
    {
        var loaded = Load("""
            "Listeners": { "web": { "Address": "unix:/run/lb.sock", "SocketMode": "0666", "Pool": "web", "TrustedProxies": ["unix:"] },
                           "raw": { "Protocol": "Tcp", "Address": "unix:@raw", "Pool": "raw" } },
            "Management": { "Address": "unix:/run/admin.sock", "SocketMode": "600" },
            "Pools": { "web": { "HealthCheck": {}, "Backends": { "b": { "Address": "unix:/run/app.sock" } } },
                       "raw": { "HealthCheck": { "Type": "Tcp" }, "Backends": { "b": { "Address": "unix:/run/raw.sock" } } } }
            """);

        loaded.Errors.Should().BeEmpty();
        var web = (HttpListenerOptions)loaded.Options.Listeners["web"];
        web.UnixMode.Should().Be((UnixFileMode)0b110110110);
        web.TrustedProxies.Should().Equal(UnixPeers.Network);
    }

    [TestCase("""{ "Address": "unix:/run/lb.sock", "SocketMode": "rw", "Pool": "web" }""",
        "SocketMode: 'rw' is not the mode of a file; expected octal digits, for example 0660")]
    [TestCase("""{ "Address": "http://127.0.0.1:80", "SocketMode": "0660", "Pool": "web" }""",
        "SocketMode: is of no use for 'http://127.0.0.1:80'; expected an Address with unix:/path")]
    [TestCase("""{ "Address": "unix:@lb", "SocketMode": "0660", "Pool": "web" }""",
        "SocketMode: is of no use for 'unix:@lb'; expected an Address with unix:/path")]
    [TestCase("""{ "Address": "unix:/run/lb.sock", "Pool": "web", "Certificates": [ { "File": "none.pem" } ] }""",
        "Certificates: is of no use for 'unix:/run/lb.sock'; expected an Address with https://")]
    [TestCase("""{ "Address": "unix:/run/app.sock", "Pool": "web" }""", null)]
    [TestCase("""{ "Address": "unix:/run/APP.sock", "Pool": "web" }""", "")]
    public void Load_Listener_SaysWhatIsWrong(string listener, string? error)
    {
        var errors = Errors($$""" "Listeners": { "web": {{listener}} }, "Pools": { "web": { {{Backend}} } } """);

        if (error is null)
        {
            errors.Should().Equal("LoadBalancer:Pools:web:Backends:b:Address: 'unix:/run/app.sock' is listener 'web' of this node; "
                + "expected the address of another server");
        }
        else if (error.Length == 0)
        {
            errors.Should().BeEmpty("paths are case-sensitive");
        }
        else
        {
            errors.Should().Contain("LoadBalancer:Listeners:web:" + error);
        }
    }

    [Test]
    public void Load_TwoListenersAtOnePath_IsAnError() =>
        Errors($$"""
            "Listeners": { "one": { "Address": "unix:/run/lb.sock", "Pool": "web" },
                           "two": { "Address": "unix:///run/lb.sock", "Pool": "web" },
                           "any": { "Protocol": "Broker", "Address": "tcp://*", "Pool": "jobs" } },
            "Pools": { "web": { {{Backend}} }, "jobs": {} }
            """).Should().Contain("LoadBalancer:Listeners:two:Address: unix:/run/lb.sock is already taken by listener 'one'")
            .And.NotContain(error => error.Contains(":any:Address: tcp", StringComparison.Ordinal));

    [Test]
    public void Load_TasksListener_IsAnError() =>
        Errors("""
            "Listeners": { "jobs": { "Protocol": "Tasks", "Address": "unix:/run/lb.sock", "WorkerAddress": "tcp://127.0.0.1:1",
                                     "Pool": "jobs" } },
            "Pools": { "jobs": {} }
            """).Should().Contain("LoadBalancer:Listeners:jobs:Address: 'unix:/run/lb.sock' does not fit here; expected tcp://host:port");

    [Test]
    public void Load_HealthCheckOfTcpPoolWithoutType_IsAnError() =>
        Errors($$"""
            "Listeners": { "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:1", "Pool": "raw" } },
            "Pools": { "raw": { "HealthCheck": {}, {{Backend}} } }
            """).Should().Equal("LoadBalancer:Pools:raw:HealthCheck:Type: is missing; expected Tcp, because the addresses of the backends, "
                + "which are Unix sockets, do not say what they speak");

    [TestCase("", "\"Resolve\": \"All\", ", "Backends:b:Resolve: is of no use for 'unix:/run/app.sock', which is no name")]
    [TestCase("\"Port\": 8080", "", "HealthCheck:Port: is for backends that have a port; 'b' is at a Unix socket")]
    public void Load_BackendWithWhatAHostHas_IsAnError(string check, string setting, string error) =>
        Errors($$"""
            "Listeners": { "web": { "Address": "http://127.0.0.1:1", "Pool": "web" } },
            "Pools": { "web": { "HealthCheck": { {{check}} }, "Backends": { "b": { {{setting}} "Address": "unix:/run/app.sock" } } } }
            """).Should().Equal("LoadBalancer:Pools:web:" + error);

    private List<string> Errors(string text) => [.. Load(text).Errors.Select(error => $"{error with { Line = null }}")];

    private LoadedConfiguration Load(string text)
    {
        File.WriteAllText(_file, $$"""{ "LoadBalancer": { {{text}} } }""");
        return ConfigurationLoader.Load(_file);
    }
}
