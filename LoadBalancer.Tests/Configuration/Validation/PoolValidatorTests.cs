using System.Text.Json;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with a pool, reported with its path and reason; and what is not.</summary>
internal sealed class PoolValidatorTests
{
    private string _file = "";

    [SetUp]
    public void SetUp() => _file = Path.GetTempFileName();

    [TearDown]
    public void TearDown() => File.Delete(_file);

    [TestCase("\"Hedge\": { \"Methods\": [] }",
        "Hedge:Methods: is empty, so nothing would ever be hedged; expected some of GET, HEAD, OPTIONS, PUT, DELETE")]
    [TestCase("\"Hedge\": { \"Methods\": [ \"GET\", \"POST\" ] }",
        "Hedge:Methods: 'POST' must not be carried out twice; expected some of GET, HEAD, OPTIONS, PUT, DELETE")]
    [TestCase("\"Hedge\": { \"After\": \"p100\" }",
        "Hedge:After: 'p100' is not valid; expected a percentile, for example p95, or a duration, for example 200ms")]
    [TestCase("\"Hedge\": { \"After\": \"95\" }",
        "Hedge:After: '95' is not valid; expected a percentile, for example p95, or a duration, for example 200ms")]
    [TestCase("\"Hedge\": { \"After\": \"00:00:00\" }", "Hedge:After: '00:00:00' is out of range; expected more than 00:00:00")]
    [TestCase("\"Hedge\": { \"After\": \"00:02:00\" }",
        "Hedge:After: '00:02:00' is not before Timeouts:Response ('00:01:00'), so nothing would ever be hedged")]
    [TestCase("\"Hedge\": {}, \"Retry\": { \"Budget\": 0 }",
        "Hedge: takes its attempts out of Retry:Budget, which is 0; expected a budget above 0, or no Hedge")]
    [TestCase("\"HealthCheck\": { \"Fall\": 0 }", "HealthCheck:Fall: '0' is out of range; expected 1 or more")]
    [TestCase("\"HealthCheck\": { \"Type\": \"Udp\" }", "HealthCheck:Type: 'Udp' is not valid; expected Http or Tcp or Grpc or Agent")]
    [TestCase("\"Queue\": { \"Limit\": 5 }",
        "Queue:Limit: is 5, but no backend has a MaxInFlight, so nobody would ever wait; "
        + "expected MaxInFlight at one backend or more, or no Queue")]
    [TestCase("\"Queue\": { \"Limit\": -1 }", "Queue:Limit: '-1' is out of range; expected 0 (no queue) or more")]
    [TestCase("\"PassiveHealth\": { \"FailureShare\": 0 }", "PassiveHealth:FailureShare: '0' is out of range; expected more than 0, to 1")]
    [TestCase("\"PassiveHealth\": { \"LongestEjection\": \"00:00:00\" }",
        "PassiveHealth:LongestEjection: '00:00:00' is out of range; expected more than 00:00:00 to 24.00:00:00")]
    [TestCase("\"PassiveHealth\": { \"Outliers\": { \"StandardDeviations\": 0 } }",
        "PassiveHealth:Outliers:StandardDeviations: '0' is out of range; expected more than 0")]
    [TestCase("\"PassiveHealth\": { \"Outliers\": { \"MinHosts\": 1 } }",
        "PassiveHealth:Outliers:MinHosts: '1' is out of range; expected 2 or more")]
    [TestCase("\"PassiveHealth\": { \"Outliers\": { \"MinRequests\": 0 } }",
        "PassiveHealth:Outliers:MinRequests: '0' is out of range; expected 1 or more")]
    [TestCase("\"PassiveHealth\": { \"Outliers\": { \"Interval\": \"500ms\" } }",
        "PassiveHealth:Outliers:Interval: '00:00:00.5000000' is out of range; expected 00:00:01 or more")]
    [TestCase("\"PassiveHealth\": { \"Outliers\": { \"MaxShare\": 1.1 } }",
        "PassiveHealth:Outliers:MaxShare: '1.1' is out of range; expected more than 0, to 1")]
    [TestCase("\"SlowStart\": \"-00:00:01\"", "SlowStart: '-00:00:01' is out of range; expected 00:00:00 to 24.00:00:00")]
    [TestCase("\"StickySession\": { \"Cookie\": \"a b\" }",
        "StickySession:Cookie: 'a b' is not a name for a cookie; expected letters, digits, - and _")]
    [TestCase("\"StickySession\": { \"Cookie\": \"\" }",
        "StickySession:Cookie: '' is not a name for a cookie; expected letters, digits, - and _")]
    [TestCase("\"Policy\": \"LeastConnection\"",
        "Policy: 'LeastConnection' is not valid; "
        + "expected RoundRobin or LeastConnections or ResponseTime or IpHash or Hash or Random or PowerOfTwoChoices or First or HotCold; "
        + "did you mean 'LeastConnections'?")]
    [TestCase("\"Policy\": \"Hash\", \"HashKey\": \"Header:\"",
        "HashKey: 'Header:' is not valid; expected Client, Header:NAME, Cookie:NAME, Query:NAME or Path")]
    [TestCase("\"HashKey\": \"Path\"",
        "HashKey: is for the policy Hash; this pool's Policy is RoundRobin; expected Policy Hash, or no HashKey")]
    [TestCase("\"Policy\": \"IpHash\", \"HashKey\": \"Client\"",
        "HashKey: is for the policy Hash; this pool's Policy is IpHash; expected Policy Hash, or no HashKey")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"Weight\": -1 } }",
        "Backends:b1:Weight: '-1' is out of range; expected 0 to 1000")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"MaxInFlight\": 0 } }",
        "Backends:b1:MaxInFlight: '0' is out of range; expected 1 or more, or null for no limit")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"MaxInFlight\": \"Much\" } }",
        "Backends:b1:MaxInFlight: 'Much' is not valid; expected a whole number, Auto or None")]
    [TestCase("\"MaxInFlight\": -1", "MaxInFlight: '-1' is out of range; expected 1 or more, or null for no limit")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"MaxInFlight\": \"None\" } }, \"Queue\": { \"Limit\": 5 }",
        "Queue:Limit: is 5, but no backend has a MaxInFlight, so nobody would ever wait; "
        + "expected MaxInFlight at one backend or more, or no Queue")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"AdminState\": \"Off\" } }",
        "Backends:b1:AdminState: 'Off' is not valid; expected Ready or Draining or Disabled")]
    [TestCase("\"Dns\": { \"Server\": \"ns.test\" }",
        "Dns:Server: 'ns.test' is not a server; expected an IP address with or without a port, for example 10.0.0.2 or [::1]:5353")]
    [TestCase("\"Dns\": { \"Server\": [ \"10.0.0.2:5353\", \"::1\", \"[::1]:53\", \"10.0.0.2:0\" ] }",
        "Dns:Server: '10.0.0.2:0' is not a server; expected an IP address with or without a port, for example 10.0.0.2 or [::1]:5353")]
    [TestCase("\"Dns\": { \"Server\": \"10.2\" }",
        "Dns:Server: '10.2' is not a server; expected an IP address with or without a port, for example 10.0.0.2 or [::1]:5353")]
    [TestCase("\"Dns\": { \"MinInterval\": \"999ms\" }",
        "Dns:MinInterval: '00:00:00.9990000' is out of range; expected 00:00:01 or more")]
    [TestCase("\"Dns\": { \"MaxInterval\": \"4s\" }", "Dns:MaxInterval: '00:00:04' is shorter than MinInterval ('00:00:05')")]
    [TestCase("\"BackendsFile\": \"/nowhere/web.json\"",
        "BackendsFile: '/nowhere/web.json' cannot be read: there is no such file")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"srv+http://_http._tcp.web.test:80\" } }",
        "Backends:b1:Address: 'srv+http://_http._tcp.web.test:80' has a port; "
        + "expected srv+http://name, for the SRV records of the name tell the port")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"srv+http://127.0.0.1\" } }",
        "Backends:b1:Address: 'srv+http://127.0.0.1' has no name; "
        + "expected srv+http://name, for example srv+http://_http._tcp.web.internal")]
    [TestCase("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"Resolve\": \"Any\" } }",
        "Backends:b1:Resolve: 'Any' is not valid; expected First or All")]
    public void Load_PoolThatMakesNoSense_IsAnErrorWithPathAndReason(string setting, string error) =>
        Load(setting).Errors.Select(found => $"{found with { Line = null }}").Should().Equal($"LoadBalancer:Pools:web:{error}");

    [Test]
    public void Load_EverythingThatAPoolCanHave_IsRead()
    {
        var loaded = Load("""
            "Policy": "PowerOfTwoChoices", "SlowStart": "00:00:30", "Queue": { "Limit": 100, "Timeout": "00:00:02" },
            "Hedge": { "After": "00:00:00.200", "Methods": [ "GET", "DELETE" ] }, "StickySession": {},
            "PassiveHealth": { "FailureShare": 0.3, "LongestEjection": "00:10:00" }, "HealthCheck": { "Type": "Tcp" },
            "Backends": { "b1": { "Address": "http://a:1", "MaxInFlight": 7, "AdminState": "Draining" } }
            """);

        loaded.Errors.Should().BeEmpty();
        loaded.Options.Pools["web"].Should().BeEquivalentTo(new
        {
            Policy = PolicyName.PowerOfTwoChoices,
            SlowStart = TimeSpan.FromSeconds(30),
            Queue = new QueueOptions { Limit = 100, Timeout = TimeSpan.FromSeconds(2) },
            Hedge = new { After = new HedgeAfter(TimeSpan.FromSeconds(0.2), 0) },
            StickySession = new StickySessionOptions(),
            PassiveHealth = new { FailureShare = 0.3, LongestEjection = TimeSpan.FromMinutes(10) },
            HealthCheck = new { Type = ProbeType.Tcp },
        });
        loaded.Options.Pools["web"].Hedge!.Methods.Should().Equal("GET", "DELETE");
        loaded.Options.Pools["web"].Backends["b1"].AdminState.Should().Be(LoadBalancer.Pools.AdminState.Draining);
    }

    [Test]
    public void Load_StickySessionsKeyFileWithoutAKey_IsAnError()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("sticky.key");
        string[] Errors() => [.. Load($$"""
            "StickySession": { "KeyFile": {{JsonSerializer.Serialize(file)}} }
            """).Errors.Select(error => error.Message)];

        Errors().Should().BeEmpty("it is made at the start");
        File.WriteAllText(file, "c2VjcmV0\n");
        Errors().Should().Equal($"'{file}' cannot be used: it has no key; expected base64 of 32 bytes or more, "
            + "as openssl rand -base64 32 makes it");
        File.WriteAllText(file, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n");
        Errors().Should().BeEmpty();
    }

    [TestCase("http://127.0.0.1:8080", "http://127.0.0.1:8080")]
    [TestCase("http://127.0.0.1:8080", "http://localhost:8080")]
    [TestCase("http://localhost:8080", "http://[::1]:8080")]
    [TestCase("http://*:8080", "http://127.0.0.2:8080")]
    [TestCase("http://0.0.0.0:8080", "http://LOCALHOST:8080")]
    [TestCase("http://*:80", "http://127.0.0.1")]
    [TestCase("http://127.0.0.1:8080", "http://0.0.0.0:8080")]
    public void Load_BackendIsAListenerOfThisNode_IsAnError(string listener, string backend)
    {
        var error = LoadPair(listener, backend).Errors.Should().ContainSingle().Which;

        error.Path.Should().Be("LoadBalancer:Pools:web:Backends:b1:Address");
        error.Message.Should().EndWith("is listener 'web' of this node; expected the address of another server");
    }

    [TestCase("http://127.0.0.1:8080", "http://127.0.0.1:8081")]
    [TestCase("http://127.0.0.1:8080", "http://127.0.0.2:8080")]
    [TestCase("http://*:8080", "http://192.0.2.1:8080")]
    [TestCase("http://*:8080", "http://web.internal:8080")]
    [TestCase("http://127.0.0.1:0", "http://127.0.0.1:9000")]
    [TestCase("http://127.0.0.1:8080", "http://127.0.0.1:9099")] // The management listener: a listener with TLS may stand in front of it.
    public void Load_BackendIsAnotherServer_IsNoError(string listener, string backend) =>
        LoadPair(listener, backend).Errors.Should().BeEmpty();

    [Test]
    public void Load_HedgeWithoutSettings_IsAtTheNinetyFifthPercentile() =>
        Load("\"Hedge\": {}").Options.Pools["web"].Hedge!.After.Should().Be(new HedgeAfter(null, 95));

    [Test]
    public void Load_AllWeightsZero_IsNoError() =>
        Load("\"Backends\": { \"b1\": { \"Address\": \"http://a:1\", \"Weight\": 0 } }").Errors
            .Should().BeEmpty("the operator may want that no backend is eligible");

    private LoadedConfiguration Load(string setting)
    {
        const string Backends = "\"Backends\": { \"b1\": { \"Address\": \"http://a:1\" } },";
        var backends = setting.Contains("\"Backends\"", StringComparison.Ordinal) ? "" : Backends;
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { {{backends}} {{setting}} } } } }
            """);
        return ConfigurationLoader.Load(_file);
    }

    private LoadedConfiguration LoadPair(string listener, string backend)
    {
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "{{listener}}", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend}}" } } } },
                "Management": { "Address": "http://127.0.0.1:9099" } } }
            """);
        return ConfigurationLoader.Load(_file);
    }
}
