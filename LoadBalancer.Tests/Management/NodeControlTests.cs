using System.Net;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>What operators ask of the node as a whole.</summary>
internal sealed class NodeControlTests
{
    private const string Pools = """{ "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } }""";

    private ConfiguredNode _node = null!;

    [SetUp]
    public async Task SetUpAsync() => _node = await ConfiguredNode.StartAsync(Pools);

    [TearDown]
    public async Task TearDownAsync() => await _node.DisposeAsync();

    [Test]
    public async Task Reload_ChangedFile_IsAppliedWhenItAnswers()
    {
        await _node.WriteAsync(Pools.Replace("b1", "b2", StringComparison.Ordinal));

        var (status, json) = await ReloadAsync();

        status.Should().Be(HttpStatusCode.OK);
        json.ToJsonString().Should().Be("""{"applied":true,"errors":[],"warnings":[]}""");
        _node.Pool.Snapshot.Members.Should().ContainSingle().Which.Name.Should().Be("b2");
    }

    [Test]
    public async Task Reload_FileThatIsNotValid_SaysWhereAndChangesNothing()
    {
        await _node.WriteAsync(Pools.Replace("Address", "Adress", StringComparison.Ordinal));

        var (status, json) = await ReloadAsync();

        status.Should().Be(HttpStatusCode.UnprocessableEntity);
        json["applied"]!.GetValue<bool>().Should().BeFalse();
        json["errors"]!.AsArray().Select(error => error!.ToString()).Should().Contain(error =>
            error.StartsWith("LoadBalancer:Pools:web:Backends:b1:Adress: unknown key; did you mean 'Address'?", StringComparison.Ordinal));
        _node.Pool.Snapshot.Members.Should().ContainSingle();
    }

    [Test]
    public async Task Upgrade_NodeThatIsNoProgram_IsRefused()
    {
        using var response = await _node.Management.PostAsync(new Uri("/api/upgrade", UriKind.Relative), null);

        response.StatusCode.Should().Be(HttpStatusCode.Conflict);
        (await response.Content.ReadAsStringAsync()).Should().Be("this node was not started as a program of its own\n");
    }

    [TestCase("[]")]
    [TestCase("{\"program\":1}")]
    [TestCase("{\"file\":\"/usr/bin/loadbalancer\"}")]
    [TestCase("nonsense")]
    public async Task Upgrade_BodyThatSaysSomethingElse_Is400(string body)
    {
        using var content = new StringContent(body);
        using var response = await _node.Management.PostAsync(new Uri("/api/upgrade", UriKind.Relative), content);

        response.StatusCode.Should().Be(HttpStatusCode.BadRequest);
    }

    [Test]
    public async Task Reload_ManyAtOnce_EachSeesTheFileAsItWasWhenItAsked()
    {
        for (var i = 0; i < 5; i++)
        {
            var name = $"b{i}";
            await _node.WriteAsync(Pools.Replace("b1", name, StringComparison.Ordinal));

            var results = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => ReloadAsync()));

            results.Should().OnlyContain(result => result.Status == HttpStatusCode.OK);
            _node.Pool.Snapshot.Members.Should().Contain(member => member.Name == name);
        }
    }

    [Test]
    public async Task Node_OfTheTests_SaysThatItIsCompiledAsItRuns()
    {
        var node = JsonNode.Parse(await _node.Management.GetStringAsync("/api/node"))!;

        (node["version"]!.ToString(), node["build"]!.ToString(), node["commit"]?.ToString())
            .Should().Be((BuildInformation.Version, "JIT", BuildInformation.Commit));
        BuildInformation.Text.Should().StartWith($"{BuildInformation.Version} (JIT");
    }

    [Test]
    public async Task Reload_Get_Is405()
    {
        using var answer = await _node.Management.GetAsync("/api/reload");

        answer.StatusCode.Should().Be(HttpStatusCode.MethodNotAllowed);
        answer.Content.Headers.Allow.Should().Equal("POST");
    }

    [Test]
    public async Task OpenApi_EachGetOfIt_AnswersAsItSays()
    {
        var document = JsonNode.Parse(await _node.Management.GetStringAsync("/openapi.json"))!;
        var seen = new List<string>();
        foreach (var (path, operations) in document["paths"]!.AsObject())
        {
            var schema = operations!["get"]?["responses"]!["200"]!["content"]?["application/json"]?["schema"];
            if (schema is null || path.StartsWith("/api/cluster", StringComparison.Ordinal)) // This node is in none.
            {
                continue;
            }
            var url = path.Replace("{pool}", "web", StringComparison.Ordinal).Replace("{backend}", "b1", StringComparison.Ordinal);
            url = url == "/api/events" ? "/api/events?since=0" : url; // without that it is a stream
            using var answer = await _node.Management.GetAsync(url);

            var found = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
            Differences(found, schema, document, path).Should().BeEmpty();
            seen.Add(path);
        }
        seen.Should().Contain(["/status", "/api/node", "/api/pools", "/api/pools/{pool}/backends/{backend}", "/errors/stats", "/health"]);
    }

    [Test]
    public async Task OpenApi_Always_HasWhatIsServedAndNothingElse()
    {
        var document = JsonNode.Parse(await _node.Management.GetStringAsync("/openapi.json"))!;

        document["paths"]!.AsObject()
            .SelectMany(path => path.Value!.AsObject().Where(operation => operation.Key != "parameters")
                .Select(operation => $"{operation.Key.ToUpperInvariant()} {path.Key}"))
            .Should().BeEquivalentTo(ManagementEndpoints.Api.Select(endpoint => $"{endpoint.Method} {endpoint.Path}"));
    }

    [Test]
    public async Task OpenApi_EachReference_LeadsSomewhere()
    {
        var document = JsonNode.Parse(await _node.Management.GetStringAsync("/openapi.json"))!;

        References(document).Should().NotBeEmpty().And.OnlyContain(reference => Find(document, reference) != null);
    }

    [Test]
    public async Task OpenApi_EachOperation_IsThere()
    {
        await ReloadAsync(); // the first entry of the audit
        var audit = JsonNode.Parse(await _node.Management.GetStringAsync("/api/audit"))!;
        var document = JsonNode.Parse(await _node.Management.GetStringAsync("/openapi.json"))!;
        foreach (var (path, operations) in document["paths"]!.AsObject())
        {
            foreach (var (method, _) in operations!.AsObject().Where(operation => operation.Key != "parameters"))
            {
                var url = path.Replace("{pool}", "web", StringComparison.Ordinal).Replace("{backend}", "b1", StringComparison.Ordinal)
                    .Replace("{id}", $"{audit["entries"]![0]!["id"]}", StringComparison.Ordinal);
                using var request = new HttpRequestMessage(new HttpMethod(method), url);
                using var answer = await _node.Management.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);

                if (path.StartsWith("/api/cluster", StringComparison.Ordinal)) // This node is in none.
                {
                    (await answer.Content.ReadAsStringAsync()).Should().StartWith("this node is in no cluster");
                    continue;
                }
                answer.StatusCode.Should().NotBe(HttpStatusCode.NotFound, path).And.NotBe(HttpStatusCode.MethodNotAllowed, path);
            }
        }
    }

    private static IEnumerable<string> References(JsonNode? json) => json switch
    {
        JsonObject { Count: 1 } entry when entry["$ref"] is { } reference => [reference.ToString()],
        JsonObject entries => entries.SelectMany(entry => References(entry.Value)),
        JsonArray items => items.SelectMany(References),
        _ => [],
    };

    private static JsonNode? Find(JsonNode document, string reference) =>
        reference.Split('/')[1..].Aggregate((JsonNode?)document, (json, name) => json?[name]);

    private async Task<(HttpStatusCode Status, JsonNode Json)> ReloadAsync()
    {
        using var answer = await _node.Management.PostAsync("/api/reload", null);
        return (answer.StatusCode, JsonNode.Parse(await answer.Content.ReadAsStringAsync())!);
    }

    // Properties that a value has and its schema has not, or the other way round.
    private static IEnumerable<string> Differences(JsonNode? found, JsonNode schema, JsonNode document, string path)
    {
        if (schema["$ref"]?.ToString() is { } reference)
        {
            schema = document["components"]!["schemas"]![reference["#/components/schemas/".Length..]]!;
        }
        if (found is JsonArray list && schema["items"] is { } items)
        {
            return list.SelectMany((item, i) => Differences(item, items, document, $"{path}[{i}]"));
        }
        if (found is not JsonObject value || schema["properties"] is not JsonObject properties)
        {
            return [];
        }
        var required = schema["required"]?.AsArray().Select(name => name!.ToString()) ?? [];
        return required.Where(name => !value.ContainsKey(name)).Select(name => $"{path} lacks {name}")
            .Concat(value.Where(entry => !properties.ContainsKey(entry.Key)).Select(entry => $"{path} has {entry.Key}"))
            .Concat(value.Where(entry => properties.ContainsKey(entry.Key)).SelectMany(
                entry => Differences(entry.Value, properties[entry.Key]!, document, $"{path}.{entry.Key}")));
    }
}
