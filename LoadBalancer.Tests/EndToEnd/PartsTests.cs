using System.IO.Compression;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using NetMQ.Sockets;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>
/// Each part of the real program once, above all where it uses reflection or a library: what was trimmed away, or cannot be compiled ahead
/// of time, is missing in an artefact of packaging/build.sh alone (LOADBALANCER_PROGRAM).
/// </summary>
[Category("Program")]
[Explicit("takes long; .ci/run runs it")]
[Platform("Linux")]
internal sealed class PartsTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private readonly TestCertificates _certificates = new();
    private readonly int _port = ReservedPorts.Next();

    [OneTimeTearDown]
    public void DeleteCertificates() => _certificates.Dispose();

    [TestCase("1.1", "1.1")]
    [TestCase("1.1", "2")]
    [TestCase("2", "1.1")]
    [TestCase("2", "2")]
    public async Task Request_OfEachVersion_IsForwardedInEachVersion(string client, string backend)
    {
        await using var server = await KestrelBackend.StartAsync(
            async context =>
            {
                var body = await new StreamReader(context.Request.Body).ReadToEndAsync();
                await context.Response.WriteAsync($"{context.Request.Protocol} {context.Request.Path} {body}");
            },
            backend == "2" ? HttpProtocols.Http2 : HttpProtocols.Http1);
        var port = ReservedPorts.Next();
        await using var node = await RunningNode.StartAsync($$"""
            "Listeners": { "web": { "Address": "http://127.0.0.1:{{port}}", "Pool": "web", "HttpVersion": "1.1+2" } },
            "Pools": { "web": {
                "HttpVersion": "{{backend}}", "HealthCheck": {}, "Backends": { "b": { "Address": "{{server.Address}}" } } } }
            """);
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{port}/x")
        {
            Version = client == "2" ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new StringContent("body"),
        };

        using var answer = await http.SendAsync(request);

        (await answer.Content.ReadAsStringAsync()).Should().Be($"HTTP/{(backend == "2" ? "2" : "1.1")} /x body");
        (await node.Program.TerminateAsync()).Should().Be(0);
        node.Program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [TestCase("pem")]
    [TestCase("pfx")]
    [TestCase("encrypted")]
    public async Task Request_OverTlsOnBothSides_IsForwarded(string kind)
    {
        var issued = _certificates.Issue($"site-{kind}", "localhost");
        var certificate = kind switch
        {
            "pfx" => _certificates.AsPfx(issued, "secret"),
            "encrypted" => _certificates.WithEncryptedKey(issued, "secret"),
            _ => issued,
        };
        string Quoted(string? text) => text is null ? "null" : $"\"{text}\"";
        await using var server = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync(context.Request.Protocol), HttpProtocols.Http1AndHttp2,
            _certificates.Issue($"backend-{kind}", "127.0.0.1"));
        var port = ReservedPorts.Next();
        await using var node = await RunningNode.StartAsync($$"""
            "Listeners": { "web": { "Address": "https://127.0.0.1:{{port}}", "Pool": "web", "Ciphers": [ "Intermediate" ], "Certificates": [
                { "File": "{{certificate.File}}", "KeyFile": {{Quoted(certificate.KeyFile)}},
                  "KeyPasswordFile": {{Quoted(certificate.KeyPasswordFile)}} } ] } },
            "Pools": { "web": { "HttpVersion": "2", "Tls": { "AuthorityFile": "{{_certificates.AuthorityFile}}" },
                "Backends": { "b": { "Address": "{{server.Address}}" } } } }
            """);
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback =
            (_, _, chain, errors) => (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) == 0;
        using var http = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"https://localhost:{port}/") { Version = HttpVersion.Version20 };

        using var answer = await http.SendAsync(request);

        answer.Version.Should().Be(HttpVersion.Version20);
        (await answer.Content.ReadAsStringAsync()).Should().Be("HTTP/2");
    }

    [Test]
    public async Task Routes_GuardsAndChanges_DoWhatTheyShall()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var (users, keys) = (_certificates.Write("users", $"ann:{BCrypt.Net.BCrypt.HashPassword("right", 4)}\n"),
            _certificates.Write("jwks.json", KeySet(key)));
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is { } head)
            {
                await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
            }
        });
        await using var verifier = RawServer.Answering("HTTP/1.1 200 OK\r\nRemote-User: eve\r\nContent-Length: 0\r\n\r\n");
        await using var node = await RunningNode.StartAsync($$"""
            "RateLimits": { "one": { "Permits": 1, "Window": "01:00:00" } },
            "Authentication": {
                "basic": { "UsersFile": "{{users}}" },
                "jwt": { "Type": "Jwt", "KeysFile": "{{keys}}", "Issuer": "https://id.test", "Audience": "api" },
                "forward": { "Type": "Forward", "Address": "{{verifier.Address}}", "CopyHeaders": [ "Remote-User" ] } },
            "Listeners": { "web": { "Address": "http://127.0.0.1:{{_port}}", "Pool": "web", "RequestId": "X-Request-Id", "Routes": [
                { "Path": "/basic", "Pool": "web", "Authentication": "basic", "RequestHeaders": { "Set": { "X-User": "{user}" } } },
                { "Path": "/jwt", "Pool": "web", "Authentication": "jwt", "RequestHeaders": { "Set": { "X-User": "{user}" } } },
                { "Path": "/forward", "Pool": "web", "Authentication": "forward" },
                { "Path": "/limited", "Pool": "web", "RateLimit": "one" },
                { "Path": "/denied", "Pool": "web", "Deny": [ "127.0.0.0/8" ] },
                { "PathPattern": "^/old/\\d+$", "Pool": "web", "Rewrite": { "Pattern": "^/old/(\\d+)$", "To": "/new/$1" } },
                { "Path": "/away", "Redirect": { "To": "https://{host}{path}" } },
                { "Path": "/said", "Respond": { "Body": "hello {client}" } } ] } },
            "Pools": { "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } } }
            """);

        (await GetAsync("/basic")).Should().StartWith("HTTP/1.1 401");
        (await GetAsync("/basic", $"Authorization: Basic {Convert.ToBase64String("ann:right"u8)}\r\n")).Should().Contain("X-User: ann\r\n");
        (await GetAsync("/basic", $"Authorization: Basic {Convert.ToBase64String("ann:wrong"u8)}\r\n")).Should().StartWith("HTTP/1.1 401");
        (await GetAsync("/jwt", $"Authorization: Bearer {Token(key)}\r\n")).Should().Contain("X-User: bob\r\n");
        (await GetAsync("/jwt", $"Authorization: Bearer {Token(key)[..^9]}AAAAAAAAA\r\n")).Should().StartWith("HTTP/1.1 401");
        (await GetAsync("/forward")).Should().StartWith("HTTP/1.1 200").And.Contain("Remote-User: eve\r\n");
        (await GetAsync("/limited")).Should().StartWith("HTTP/1.1 200");
        (await GetAsync("/limited")).Should().StartWith("HTTP/1.1 429");
        (await GetAsync("/denied")).Should().StartWith("HTTP/1.1 403");
        (await GetAsync("/old/12")).Should().Contain("GET /new/12 HTTP/1.1\r\n").And.Contain("X-Request-Id: ");
        (await GetAsync("/away")).Should().Contain("Location: https://a.test/away\r\n");
        (await GetAsync("/said")).Should().EndWith("\r\n\r\nhello 127.0.0.1");
    }

    [TestCase("gzip")]
    [TestCase("br")]
    public async Task Compression_OfEachCoding_CanBeRead(string coding)
    {
        await using var backend = RawServer.Answering(CompressingNode.Json(CompressingNode.Text));
        var port = ReservedPorts.Next();
        await using var node = await RunningNode.StartAsync(Web(port, backend.Address, """ "Compression": {}, """));
        using var http = new HttpClient();
        http.DefaultRequestHeaders.Add("Accept-Encoding", coding);

        using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{port}/"));

        answer.Content.Headers.ContentEncoding.Should().Equal(coding);
        await using var body = await answer.Content.ReadAsStreamAsync();
        await using Stream plain = coding == "br" ? new BrotliStream(body, CompressionMode.Decompress)
            : new GZipStream(body, CompressionMode.Decompress);
        (await new StreamReader(plain).ReadToEndAsync()).Should().Be(CompressingNode.Text);
    }

    [TestCase("RoundRobin")]
    [TestCase("LeastConnections")]
    [TestCase("ResponseTime")]
    [TestCase("IpHash")]
    [TestCase("Hash")]
    [TestCase("Random")]
    [TestCase("PowerOfTwoChoices")]
    [TestCase("First")]
    public async Task Pool_OfEachPolicy_KeepsAClientByItsCookieAndIsReloaded(string policy)
    {
        await using var one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        await using var two = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
        var port = ReservedPorts.Next();
        string Settings(string backends) => $$"""
            "Listeners": { "web": { "Address": "http://127.0.0.1:{{port}}", "Pool": "web" } },
            "Pools": { "web": { "Policy": "{{policy}}", "StickySession": {}, "Hedge": { "After": "p95" }, "Backends": { {{backends}} } } }
            """;
        var (first, second) = ($"\"b1\": {{ \"Address\": \"{one.Address}\" }}", $"\"b2\": {{ \"Address\": \"{two.Address}\" }}");
        await using var node = await RunningNode.StartAsync(Settings($"{first}, {second}"));
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") }; // It keeps cookies.

        var answers = new List<string>();
        for (var i = 0; i < 6; i++)
        {
            answers.Add(await http.GetStringAsync("/"));
        }
        var reload = await node.ReloadAsync(Settings(answers[0] == "one" ? second : first));

        answers.Distinct().Should().ContainSingle();
        reload.Should().Be("""{"applied":true,"errors":[],"warnings":[]}""");
        (await http.GetStringAsync("/")).Should().NotBe(answers[0]);
    }

    [Test]
    public async Task Management_EachOfItsAnswers_IsThere()
    {
        await using var backend = RawServer.Answering(Ok);
        var port = ReservedPorts.Next();
        await using var node = await RunningNode.StartAsync(Web(port, backend.Address));
        await RawPeer.ExchangeAsync(port, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");

        foreach (var path in new[] { "/health", "/status", "/api/node", "/api/pools", "/errors/stats", "/openapi.json" })
        {
            JsonNode.Parse(await node.Management.GetStringAsync(path)).Should().NotBeNull(path);
        }
        (await node.Management.GetStringAsync("/metrics")).Should().Contain("loadbalancer_requests_total{pool=\"web\",backend=\"b\"");
        using var body = new StringContent("""{"address":"http://127.0.0.1:1","weight":3}""");
        using var put = await node.Management.PutAsync("/api/pools/web/backends/new", body);
        put.IsSuccessStatusCode.Should().BeTrue();
        using var change = new StringContent("""{"adminState":"Draining"}""");
        using var patch = await node.Management.PatchAsync("/api/pools/web/backends/new", change);
        JsonNode.Parse(await patch.Content.ReadAsStringAsync())!["adminState"]!.ToString().Should().Be("Draining");
        using var events = await node.Management.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await events.Content.ReadAsStreamAsync());
        (await reader.ReadLineAsync()).Should().Be("event: hello");
        (await reader.ReadLineAsync()).Should().StartWith("data: ").And.Contain("\"backend\":\"new\"");
    }

    [Test]
    public async Task Schema_OfTheConfiguration_KnowsItsSettings()
    {
        var (exitCode, output, _) = await ProgramUnderTest.RunAsync("LoadBalancer", "schema");

        exitCode.Should().Be(0);
        JsonNode.Parse(output)!.ToJsonString().Should().ContainAll("AcceptProxyProtocol", "MaxInFlight", "QueueLimit", "PublishInterval");
    }

    [Test]
    public async Task Otlp_ACollectorIsNamed_ItGetsSpansAndMetrics()
    {
        var (spans, metrics) = (new TaskCompletionSource<string>(), new TaskCompletionSource<string>());
        await using var collector = await KestrelBackend.StartAsync(
            async context =>
            {
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body);
                (context.Request.Path == "/v1/traces" ? spans : metrics).TrySetResult(Encoding.Latin1.GetString(body.ToArray()));
            },
            HttpProtocols.Http1);
        await using var backend = RawServer.Answering(Ok);
        var port = ReservedPorts.Next();
        await using var node = await RunningNode.StartAsync(
            $"\"Tracing\": {{ \"Sample\": 1 }}, {Web(port, backend.Address, """ "AccessLog": "Console", "AccessLogFormat": "Json", """)}",
            new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address, ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf" });
        await RawPeer.ExchangeAsync(port, "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");

        (await node.Program.TerminateAsync()).Should().Be(0);

        (await spans.Task.WaitAsync(TimeLimits.Event)).Should().Contain("http.response.status_code").And.Contain("a.test");
        (await metrics.Task.WaitAsync(TimeLimits.Event)).Should().Contain("loadbalancer.requests");
        JsonNode.Parse(node.Program.Output.First(line => line.StartsWith('{')))!["host"]!.ToString().Should().Be("a.test");
    }

    [Test]
    public async Task Tcp_WithTlsAndAProxyHeader_IsRelayed()
    {
        await using var backend = RawServer.Echoing();
        var certificate = _certificates.Issue("relay", "relay.test");
        await using var node = await RunningNode.StartAsync($$"""
            "Listeners": { "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{_port}}", "Pool": "raw",
                "AcceptProxyProtocol": true, "TrustedProxies": [ "127.0.0.1" ],
                "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] } },
            "Pools": { "raw": { "HealthCheck": { "Type": "Tcp" }, "Backends": { "b": { "Address": "tcp://127.0.0.1:{{backend.Port}}" } } } }
            """);
        using var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendAsync("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        await using var tls = new SslStream(peer.Stream, false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync("relay.test");

        await tls.WriteAsync("hello"u8.ToArray());
        var echo = new byte[5];
        await tls.ReadExactlyAsync(echo);

        Encoding.ASCII.GetString(echo).Should().Be("hello");
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Tasks_OfEachQueue_AreDone(bool isStored)
    {
        var (clients, workers) = (ReservedPorts.Next(), ReservedPorts.Next());
        var queue = isStored
            ? $$""", "Queue": { "Engine": "RabbitMq", "Uri": "{{(await RabbitServer.GetAsync()).Uri}}", "Name": "parts" }""" : "";
        await using var node = await RunningNode.StartAsync($$"""
            "Listeners": { "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{clients}}",
                "WorkerAddress": "tcp://127.0.0.1:{{workers}}", "Pool": "tasks" {{queue}} } },
            "Pools": { "tasks": {} }
            """);
        using var client = await LinePeer.ConnectAsync(clients);
        await client.SendAsync("TASK|1|work");
        using var worker = await LinePeer.ConnectAsync(workers);
        await worker.SendAsync("REGISTER|w1|1");
        var working = worker.WorkAsync(data => $"<{data}>");

        (await client.ReadAsync()).Should().Be("RESULT|1|<work>");

        (await node.Program.TerminateAsync()).Should().Be(0);
        await working;
    }

    [Test]
    public async Task Broker_AClientAndAWorker_IsBetweenThem()
    {
        var ports = StorePorts.At(StorePorts.NextOffset());
        await using var node = await RunningNode.StartAsync($$"""
            "Listeners": { "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store", "Ports": {
                "Clients": {{ports.Clients}}, "Workers": {{ports.Workers}}, "HealthCheck": {{ports.HealthCheck}},
                "AlternativePing": {{ports.AlternativePing}}, "WorkerCheckClients": {{ports.WorkerCheckClients}},
                "WorkerCheckWorkers": {{ports.WorkerCheckWorkers}} } } },
            "Pools": { "store": {} }
            """);
        await using var worker = new NetMqPeer(new ResponseSocket(), $"tcp://127.0.0.1:{ports.Workers}");
        worker.Answer(message => $"done: {message.Split('|')[1]}");
        await using var client = new NetMqPeer(new RequestSocket(), $"tcp://127.0.0.1:{ports.Clients}", "client");

        (await client.AskAsync("client|QUERY")).Should().Be("done: QUERY");
    }

    private static string Web(int port, string backend, string listener = "") => $$"""
        "Listeners": { "web": { {{listener}} "Address": "http://127.0.0.1:{{port}}", "Pool": "web" } },
        "Pools": { "web": { "Backends": { "b": { "Address": "{{backend}}" } } } }
        """;

    private Task<string> GetAsync(string target, string fields = "") =>
        RawPeer.ExchangeAsync(_port, $"GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");

    private static string KeySet(ECDsa key)
    {
        var point = key.ExportParameters(false).Q;
        return $$"""{"keys":[{"kty":"EC","kid":"k","crv":"P-256","x":"{{Base64(point.X!)}}","y":"{{Base64(point.Y!)}}"}]}""";
    }

    private static string Token(ECDsa key)
    {
        var text = Base64("""{"alg":"ES256","kid":"k"}"""u8) + "."
            + Base64("""{"iss":"https://id.test","aud":"api","sub":"bob","exp":9999999999}"""u8);
        return $"{text}.{Base64(key.SignData(Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256))}";
    }

    private static string Base64(ReadOnlySpan<byte> bytes) => System.Buffers.Text.Base64Url.EncodeToString(bytes);
}
