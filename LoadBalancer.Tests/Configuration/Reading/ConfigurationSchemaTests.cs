using System.Text.Json;
using System.Text.Json.Nodes;
using Json.Schema;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Reading;

/// <summary>Holds the schema against the program: what the one accepts the other accepts, and what is no setting neither does.</summary>
internal sealed class ConfigurationSchemaTests
{
    private const string Valid = """
        { "$schema": "x", "LoadBalancer": {
            "ShutdownTimeout": "30s",
            "Listeners": {
                "web": { "Address": "http://127.0.0.1:8080", "Pool": "web", "MaxConnections": null, "HttpVersion": "2",
                    "TrustedProxies": [ "10.0.0.0/8" ], "Deny": "None", "Routes": [ { "Path": "/api", "Pool": "web" } ] },
                "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:8081", "Pool": "raw", "IdleTimeout": "01:00:00" } },
            "Pools": {
                "web": { "Policy": "First", "Backends": { "b1": { "Address": "http://a:1", "MaxInFlight": 7 },
                  "b2": { "Address": "http://a:2", "MaxInFlight": "Auto" }, "b3": { "Address": "http://a:3", "MaxInFlight": "None" } },
                    "HealthCheck": {}, "Hedge": { "After": "p99.9", "Methods": "GET" }, "StickySession": null },
                "raw": { "Backends": { "b1": { "Address": "tcp://a:1" } }, "Retry": { "Budget": 0.5 } } } } }
        """;

    private static readonly JsonDocumentOptions Lenient = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    private static readonly JsonSchema Schema = JsonSchema.FromText(ConfigurationSchema.Create().ToJsonString());

    private static readonly string[] Files =
    [
        "LoadBalancer/appsettings.json", "samples/store/main.json", "samples/store/alternative.json",
        "samples/task-server/loadbalancer.json", "samples/tasks/loadbalancer.json", "samples/cluster/a.json", "samples/cluster/c.json",
    ];

    [TestCaseSource(nameof(Files))]
    public void Schema_FileOfTheRepository_Accepts(string file) =>
        Accepts(File.ReadAllText(Path.Combine(Repository.Root, file))).Should().BeTrue();

    [Test]
    public void SchemaAndProgram_ValidConfiguration_BothAccept() => (Accepts(Valid), ProgramAccepts(Valid)).Should().Be((true, true));

    [TestCase("\"MaxConnections\"", "\"MaxConnection\"")]
    [TestCase("\"First\"", "\"Fist\"")]
    [TestCase("\"Policy\": \"First\"", "\"Policy\": {}")]
    [TestCase("\"Protocol\": \"Tcp\"", "\"Protocol\": \"Udp\"")]
    [TestCase("\"IdleTimeout\": \"01:00:00\"", "\"IdleTimeout\": \"1:00\"")]
    [TestCase("\"IdleTimeout\": \"01:00:00\"", "\"IdleTimeout\": 30")]
    [TestCase("\"IdleTimeout\": \"01:00:00\"", "\"StatusEndpoints\": true")]
    [TestCase("\"30s\"", "\"30\"")]
    [TestCase("\"None\"", "\"10.0.0.0/8\"")]
    [TestCase("\"p99.9\"", "\"q99\"")]
    [TestCase("\"MaxInFlight\": 7", "\"MaxInFlight\": \"many\"")]
    [TestCase("\"MaxInFlight\": 7", "\"MaxInFlight\": 7.5")]
    [TestCase("\"MaxInFlight\": 7", "\"MaxInFlight\": \"Automatic\"")]
    [TestCase("\"Budget\": 0.5", "\"Budget\": \"half\"")]
    [TestCase("\"Address\": \"tcp://a:1\"", "\"Weight\": 1")]
    [TestCase("\"HttpVersion\": \"2\"", "\"HttpVersion\": \"3\"")]
    [TestCase("\"HttpVersion\": \"2\"", "\"HttpVersion\": \"2+1.1\"")]
    [TestCase("\"$schema\"", "\"$scheme\"")]
    public void SchemaAndProgram_WhatIsNoSetting_BothRefuse(string part, string other)
    {
        var text = Valid.Replace(part, other, StringComparison.Ordinal);

        (Accepts(text), ProgramAccepts(text)).Should().Be((false, false));
    }

    [Test]
    public void Schema_EachSetting_IsDescribed()
    {
        var definitions = ConfigurationSchema.Create()["definitions"]!.AsObject();

        var settings = definitions.Where(type => type.Key != nameof(ListenerOptions))
            .SelectMany(type => type.Value!["properties"]!.AsObject().Select(setting => (Name: $"{type.Key}.{setting.Key}", setting.Value)))
            .ToList();
        settings.Should().HaveCountGreaterThan(80);
        settings.Where(setting => string.IsNullOrEmpty((string?)setting.Value!["description"])).Select(setting => setting.Name)
            .Should().BeEmpty();
    }

    private static bool Accepts(string text) => Schema.Evaluate(JsonNode.Parse(text, null, Lenient)).IsValid;

    private static bool ProgramAccepts(string text)
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("loadbalancer.json");
        File.WriteAllText(file, text);
        return ConfigurationLoader.Load(file).Errors.Count == 0;
    }
}
