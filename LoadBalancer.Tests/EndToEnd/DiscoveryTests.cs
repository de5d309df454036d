using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A node whose backends are found by name, with a DNS server that the test plays.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class DiscoveryTests
{
    private readonly FakeClock _clock = new();
    private readonly int _port = ReservedPorts.Next();
    private volatile string[] _records = [];

    [Test]
    public async Task All_AddressesComeAndGo_MembersFollow()
    {
        await using var two = Server(2);
        await using var three = Server(3);
        await using var dns = DnsStub.Of(() => _records);
        _records = ["A 5 127.0.0.2"];
        await using var node = await StartAsync(dns);
        (await node.Client.GetStringAsync("/")).Should().Be("2", "the first request waits for the first answer");
        var first = node.Pool.Snapshot.Members.Single();

        await FindAsync(node, 2, "A 5 127.0.0.3", "A 5 127.0.0.2");

        var members = node.Pool.Snapshot.Members;
        members.Select(member => member.Name).Should().Equal($"app@127.0.0.2:{_port}", $"app@127.0.0.3:{_port}");
        members[0].Should().BeSameAs(first);
        (await AnswersAsync(node, 4)).Should().BeEquivalentTo("2", "2", "3", "3");

        await FindAsync(node, 1, "A 5 127.0.0.3");

        (await AnswersAsync(node, 4)).Should().OnlyContain(answer => answer == "3");
        await node.Log.SaysAsync($"joined: app@127.0.0.3:{_port}; members now: 2");
        await node.Log.SaysAsync($"left: app@127.0.0.2:{_port}; members now: 1");
        node.Log.Lines.Count(line => line.Contains("members now")).Should().BeLessThanOrEqualTo(3);
    }

    [Test]
    public async Task All_NameIsUnknownAtTheStart_ServesOnceItResolves()
    {
        await using var two = Server(2);
        await using var dns = DnsStub.Of(() => _records);
        await using var node = await StartAsync(dns);
        (await node.Client.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);

        await FindAsync(node, 1, "A 5 127.0.0.2");

        (await node.Client.GetStringAsync("/")).Should().Be("2");
        (await node.Management.GetStringAsync("/metrics")).Should()
            .MatchRegex("loadbalancer_dns_lookups_total\\{pool=\"web\",result=\"empty\"} [1-9]")
            .And.Contain("loadbalancer_dns_lookups_total{pool=\"web\",result=\"success\"} 1")
            .And.Contain("loadbalancer_pool_members{pool=\"web\"} 1");
    }

    [Test]
    public async Task All_NameIsGone_MembersStay()
    {
        await using var two = Server(2);
        await using var dns = DnsStub.Of(() => _records);
        _records = ["A 5 127.0.0.2"];
        await using var node = await StartAsync(dns);
        await node.Client.GetStringAsync("/");

        dns.AnswerAsync = question => question.ReplyAsync(question.Answer(3));
        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return node.Log.Lines.Any(line => line.Contains("cannot be resolved"));
            },
            "the outage is logged");

        (await node.Client.GetStringAsync("/")).Should().Be("2");
    }

    [Test]
    public async Task All_OperatorChangesAndRemovesMembers_HoldsAcrossAnswersAndReloads()
    {
        await using var dns = DnsStub.Of(() => _records);
        _records = ["A 5 127.0.0.2", "A 5 127.0.0.3"];
        await using var node = await StartAsync(dns);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.Length == 2, "both are found");
        await ChangeAsync(node, HttpMethod.Patch, $"app@127.0.0.2:{_port}", """{"weight":7,"adminState":"Draining"}""");
        await ChangeAsync(node, HttpMethod.Put, "extra", """{"address":"http://127.0.0.9:80"}""");
        await ChangeAsync(node, HttpMethod.Delete, $"app@127.0.0.3:{_port}", "");
        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return node.Pool.Snapshot.Members.Length == 2;
            },
            "one is removed");

        await FindAsync(node, 3, "A 5 127.0.0.2", "A 5 127.0.0.3", "A 5 127.0.0.4");

        node.Pool.Snapshot.Members.Select(member => $"{member.Name} {member.Weight} {member.AdminState}").Should().Equal(
            $"app@127.0.0.2:{_port} 7 Draining", $"app@127.0.0.4:{_port} 1 Ready", "extra 1 Ready");

        var (before, asked) = (node.Pool.Snapshot.Members[0], dns.Asked);
        await node.ApplyAsync(Whole(dns, "\"SlowStart\": \"1s\","));
        node.Pool.Snapshot.Members.Select(member => member.Name).Should().Equal(
            $"app@127.0.0.2:{_port}", $"app@127.0.0.3:{_port}", $"app@127.0.0.4:{_port}");
        node.Pool.Snapshot.Members[0].Should().BeSameAs(before);
        before.Weight.Should().Be(7);
        dns.Asked.Should().Be(asked, "what was found is still known");
    }

    [Test]
    public async Task All_RequestInFlightAtAMemberThatGoes_IsFinished()
    {
        var (arrived, told) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var two = new RawServer(
            async (peer, _) =>
            {
                await peer.ReadHeadAsync();
                arrived.SetResult();
                await told.Task;
                await peer.SendAsync(Response(2));
            },
            new IPEndPoint(IPAddress.Parse("127.0.0.2"), _port));
        await using var dns = DnsStub.Of(() => _records);
        _records = ["A 5 127.0.0.2"];
        await using var node = await StartAsync(dns);
        var request = node.Client.GetStringAsync("/");
        await arrived.Task;

        await FindAsync(node, 1, "A 5 127.0.0.3");
        node.Pool.Snapshot.Members.Single().Name.Should().Be($"app@127.0.0.3:{_port}");
        told.SetResult();

        (await request).Should().Be("2");
    }

    [Test]
    public async Task All_ThousandAddressesThatFlap_AreMembersEachTime()
    {
        await using var dns = DnsStub.Of(() => _records);
        string[] Addresses(int net) => [.. Enumerable.Range(0, 1000).Select(i => $"A 5 127.{net}.{i / 250}.{i % 250}")];
        dns.AnswerAsync = question => question.ReplyAsync(
            question.Type == "AAAA" ? question.Answer(0) : question.IsTcp ? question.Answer(0, _records) : question.Truncated());
        _records = Addresses(1);
        await using var node = await StartAsync(dns);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.Length == 1000, "all are found");
        for (var net = 2; net < 5; net++)
        {
            _records = Addresses(net);
            await Eventually.BeTrueAsync(
                () =>
                {
                    _clock.Advance(TimeSpan.FromSeconds(1));
                    return node.Pool.Snapshot.Members[999].Address.Host.StartsWith($"127.{net}.", StringComparison.Ordinal);
                },
                "the others are found");
        }
        node.Pool.Snapshot.Members.Should().HaveCount(1000);
        node.Log.Lines.Count(line => line.Contains("members now: 1000")).Should().BeLessThanOrEqualTo(4, "a change is one line");
    }

    [Test]
    public async Task All_Https_AsksForTheNameAndNotTheAddress()
    {
        using var certificates = new TestCertificates();
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                // Only a probe that names the host by its name succeeds.
                context.Response.StatusCode = context.Request.Path == "/probe" && context.Request.Host.Host != "web.test" ? 500 : 200;
                return Task.CompletedTask;
            },
            HttpProtocols.Http1,
            certificates.Issue("web", "web.test"), _port, IPAddress.Parse("127.0.0.2"));
        await using var dns = DnsStub.Of(() => ["A 5 127.0.0.2"]);

        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Backends": { "app": { "Address": "https://web.test:{{_port}}", "Resolve": "All" } },
                       "HealthCheck": { "Path": "/probe" },
                       "Tls": { "AuthorityFile": "{{certificates.AuthorityFile}}" }, "Dns": { "Server": "{{dns.Address}}" } } }
            """);

        (await node.Client.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.OK);
        backend.Requests.Should().Contain("HTTP/1.1 GET /probe");
    }

    [Test]
    public async Task Service_PrioritiesAndPorts_StandByServesOnlyWithoutTheFirst()
    {
        await using var two = Server(2);
        await using var three = Server(3);
        await using var dns = new DnsStub(question => question.ReplyAsync(question.Type == "SRV"
            ? question.AnswerWith(
                [$"SRV 5 0 10 {_port} a.test", $"SRV 5 1 10 {_port} b.test"], ["a.test A 5 127.0.0.2", "b.test A 5 127.0.0.3"])
            : question.Answer(0)));
        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Backends": { "app": { "Address": "srv+http://_http._tcp.web.test" } },
                       "Dns": { "Server": "{{dns.Address}}" } } }
            """);

        (await AnswersAsync(node, 3)).Should().OnlyContain(answer => answer == "2");
        await two.KillAsync();
        (await AnswersAsync(node, 3)).Should().OnlyContain(answer => answer == "3");
    }

    [Test]
    public async Task All_TcpListener_RelaysToTheMembers()
    {
        await using var two = new RawServer((peer, _) => peer.SendAsync("2"), new IPEndPoint(IPAddress.Parse("127.0.0.2"), _port));
        await using var dns = DnsStub.Of(() => ["A 5 127.0.0.2"]);
        await using var node = await ConfiguredNode.StartRawAsync(
            $$"""
            { "LoadBalancer": { "Listeners": { "tcp": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "app": { "Address": "tcp://web.test:{{_port}}", "Resolve": "All" } },
                                    "HealthCheck": { "Interval": "1s" }, "Dns": { "Server": "{{dns.Address}}" } } } } }
            """);

        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, node.Port);
        var answer = new byte[1];
        await client.GetStream().ReadExactlyAsync(answer);

        answer.Should().Equal((byte)'2');
        node.Pool.Snapshot.Members.Single().Address.ToString().Should().Be($"tcp://127.0.0.2:{_port}");
    }

    [Test]
    public async Task All_ReloadFromOneBackendToItsMembers_RequestsWaitForTheLookup()
    {
        var release = new TaskCompletionSource();
        await using var two = Server(2);
        await using var dns = new DnsStub(async question =>
        {
            await release.Task;
            await question.ReplyAsync(question.Type == "A" ? question.Answer(0, "A 5 127.0.0.2") : question.Answer(0));
        });
        await using var node = await ConfiguredNode.StartAsync(
            $$"""{ "web": { "Backends": { "app": { "Address": "http://127.0.0.2:{{_port}}" } } } }""");

        await node.ApplyAsync(Whole(dns, ""));
        var waiting = node.Client.GetStringAsync("/");
        waiting.IsCompleted.Should().BeFalse();
        release.SetResult();

        (await waiting).Should().Be("2");
        node.Pool.Snapshot.Members.Single().Name.Should().Be($"app@127.0.0.2:{_port}");
    }

    [Test]
    public async Task BackendsFile_Changes_AreTakenUpUnlessItIsBroken()
    {
        await using var two = Server(2);
        await using var three = Server(3);
        using var files = new TemporaryDirectory();
        var file = files.File("web.json");
        await File.WriteAllTextAsync(file, $$"""[ { "name": "a", "address": "http://127.0.0.2:{{_port}}" } ]""");
        await using var node = await ConfiguredNode.StartAsync($$"""{ "web": { "BackendsFile": "{{file}}" } }""", time: _clock);
        (await node.Client.GetStringAsync("/")).Should().Be("2");

        var list = $$"""
            [ { "name": "a", "address": "http://127.0.0.2:{{_port}}", "weight": 0, "healthy": true },
              { "name": "b", "address": "http://127.0.0.3:{{_port}}" } ]
            """;
        await File.WriteAllTextAsync(file, list);
        await WaitAsync(() => node.Pool.Snapshot.Members.Length == 2, "the file is read");
        (await AnswersAsync(node, 3)).Should().OnlyContain(answer => answer == "3");

        await File.WriteAllTextAsync(file, list + "\n]");
        await WaitAsync(() => node.Log.Lines.Any(line => line.Contains("line 3: it is not valid JSON")), "the broken file is named");
        node.Pool.Snapshot.Members.Should().HaveCount(2);

        var answer = JsonNode.Parse(await node.Management.GetStringAsync("/api/pools/web/backends"))!.AsArray();
        answer.Select(backend => $"{backend!["name"]} {backend["address"]} {backend["weight"]}").Should().Equal(
            $"a http://127.0.0.2:{_port} 0", $"b http://127.0.0.3:{_port} 1");
        await File.WriteAllTextAsync(file, answer.ToJsonString());
        node.Log.Lines.Clear();
        await WaitAsync(() => node.Log.Lines.Any(line => line.Contains("is used as it is now")), "an answer of the API is such a file");
    }

    [Test]
    public async Task BackendsFile_TcpListener_RelaysToItsBackends()
    {
        await using var two = new RawServer((peer, _) => peer.SendAsync("2"), new IPEndPoint(IPAddress.Parse("127.0.0.2"), _port));
        using var files = new TemporaryDirectory();
        await File.WriteAllTextAsync(files.File("tcp.json"), $$"""[ { "name": "a", "address": "tcp://127.0.0.2:{{_port}}" } ]""");
        await using var node = await ConfiguredNode.StartRawAsync(
            $$"""
            { "LoadBalancer": { "Listeners": { "tcp": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "BackendsFile": "{{files.File("tcp.json")}}", "HealthCheck": { "Type": "Tcp" } } } } }
            """);

        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, node.Port);
        var answer = new byte[1];
        await client.GetStream().ReadExactlyAsync(answer);

        answer.Should().Equal((byte)'2');
    }

    private RawServer Server(int last) => RawServer.Answering(Response(last), new IPEndPoint(IPAddress.Parse($"127.0.0.{last}"), _port));

    private static string Response(int last) => $"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{last}";

    private Task<ConfiguredNode> StartAsync(DnsStub dns) => ConfiguredNode.StartAsync(Pools(dns), time: _clock);

    private string Pools(DnsStub dns, string more = "") => $$"""
        { "web": { {{more}} "Backends": { "app": { "Address": "http://web.test:{{_port}}", "Resolve": "All" } },
                   "Dns": { "Server": "{{dns.Address}}" } } }
        """;

    private string Whole(DnsStub dns, string more) => $$"""
        { "LoadBalancer": { "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } }, "Pools": {{Pools(dns, more)}} } }
        """;

    // From now on the name has these records. Lets time pass until there are so many members, of which one has the last address.
    private Task FindAsync(ConfiguredNode node, int count, params string[] records)
    {
        _records = records;
        return WaitAsync(
            () => node.Pool.Snapshot.Members.Length == count
                && node.Pool.Snapshot.Members.Any(member => member.Address.Host == records[^1].Split(' ')[^1]),
            $"there are {count} members");
    }

    private Task WaitAsync(Func<bool> condition, string because) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            return condition();
        },
        because);

    private static async Task<List<string>> AnswersAsync(ConfiguredNode node, int count)
    {
        List<string> answers = [];
        for (var i = 0; i < count; i++)
        {
            answers.Add(await node.Client.GetStringAsync("/"));
        }
        return answers;
    }

    private static async Task ChangeAsync(ConfiguredNode node, HttpMethod method, string backend, string json)
    {
        using var request = new HttpRequestMessage(method, $"/api/pools/web/backends/{backend}")
        {
            Content = new StringContent(json, Encoding.UTF8, "application/json"),
        };
        (await node.Management.SendAsync(request)).IsSuccessStatusCode.Should().BeTrue();
    }
}
