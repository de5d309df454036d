using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Certificates of a real authority for nodes that share them, and for a process that is replaced meanwhile.</summary>
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
[Platform("Linux")]
internal sealed class CertificatesOfAClusterTests
{
    private const string Name = "shop.test";

    [Test]
    public async Task Nodes_OneOrders_TheOtherAnswersTheAuthorityAndBothServeIt()
    {
        await using var etcd = await EtcdServer.StartAsync();
        var (plainOfA, plainOfB, tlsOfA, tlsOfB) = (ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next());
        await using var pebble = await Pebble.StartAsync(plainOfB);
        await using var backend = await KestrelBackend.StartAsync(context => context.Response.WriteAsync("one"), HttpProtocols.Http1);
        using var files = new TemporaryDirectory();
        using var certificates = new TestCertificates();
        var old = certificates.Issue("old", "old.test");
        await File.WriteAllTextAsync(files.File("secret"), new string('s', 40));
        string Configuration(string node, int plain, int tls, bool isWithAcme) => $$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "edge", "Node": "{{node}}", "Etcd": [ "{{etcd.Address}}" ], "LeaseTime": "2s",
                    "SecretFile": "{{files.File("secret")}}", "StateDirectory": "{{files.File("state")}}" },
                "Listeners": {
                  "plain": { "Address": "http://127.0.0.1:{{plain}}", "Pool": "web", "RedirectToHttps": true, "Deny": [ "127.0.0.0/8" ] },
                  "web": { "Address": "https://127.0.0.1:{{tls}}", "Pool": "web",
                    "Certificates": [ { "File": "{{old.File}}", "KeyFile": "{{old.KeyFile}}" } ]{{(isWithAcme ? Acme(node) : "")}} } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } } } }
            """;
        string Acme(string node) => $$"""
            , "Acme": { "Directory": "{{pebble.Directory}}", "Names": [ "{{Name}}" ], "AcceptTerms": true,
                "Store": "{{files.File("acme-" + node)}}", "AuthorityFile": "{{pebble.AuthorityFile}}" }
            """;
        using var clientsOfA = new TlsClients(tlsOfA, pebble.Root, Name);
        using var clientsOfB = new TlsClients(tlsOfB, pebble.Root, Name);

        // The authority asks one node only, which has no order of its own.
        await using var b = await ConfiguredNode.StartRawAsync(Configuration("b", plainOfB, tlsOfB, isWithAcme: false));
        await using (var a = await ConfiguredNode.StartRawAsync(Configuration("a", plainOfA, tlsOfA, isWithAcme: true)))
        {
            await Eventually.BeTrueAsync(clientsOfA.AllAnswerAsync, "the first node has a certificate");
            await b.ApplyAsync(Configuration("b", plainOfB, tlsOfB, isWithAcme: true));
            await Eventually.BeTrueAsync(clientsOfB.AllAnswerAsync, "the other one serves it too");
            pebble.Orders.Should().Be(1);
            (await b.Client.GetAsync("/.well-known/acme-challenge/unknown")).StatusCode.Should().Be(HttpStatusCode.PermanentRedirect);
            a.Log.Lines.Concat(b.Log.Lines).Should().NotContain(line => line.StartsWith("Error", StringComparison.Ordinal));
        }

        // A start without etcd and without the authority.
        await etcd.KillAsync();
        await pebble.KillAsync();
        await using var again = await ConfiguredNode.StartRawAsync(Configuration("a", plainOfA, tlsOfA, isWithAcme: true));
        (await clientsOfA.TryAskAsync(Name)).Should().BeNull("its copy is in its store");
        (await clientsOfB.TryAskAsync(Name)).Should().BeNull();
    }

    [Test]
    [Category("Program")]
    public async Task Upgrade_AuthorityIsAskingMeanwhile_GetsACertificateAndNobodyNotices()
    {
        var (plain, tls, management) = (ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next());
        var (asked, mayAsk) = (new TaskCompletionSource(), new TaskCompletionSource());
        // The authority's question waits here until the new process serves.
        await using var question = new RawServer(async (peer, _) =>
        {
            asked.TrySetResult();
            await mayAsk.Task;
            using var node = new TcpClient();
            await node.ConnectAsync(IPAddress.Loopback, plain);
            await Task.WhenAny(peer.Stream.CopyToAsync(node.GetStream()), node.GetStream().CopyToAsync(peer.Stream));
        });
        await using var pebble = await Pebble.StartAsync(question.Port);
        await using var backend = await KestrelBackend.StartAsync(context => context.Response.WriteAsync("one"), HttpProtocols.Http1);
        using var files = new TemporaryDirectory();
        await File.WriteAllTextAsync(files.File("loadbalancer.json"), $$"""
            { "LoadBalancer": {
                "Listeners": {
                  "plain": { "Address": "http://127.0.0.1:{{plain}}", "Pool": "web" },
                  "web": { "Address": "https://127.0.0.1:{{tls}}", "Pool": "web", "Acme": {
                    "Directory": "{{pebble.Directory}}", "Names": [ "{{Name}}" ], "AcceptTerms": true,
                    "Store": "{{files.File("acme")}}", "AuthorityFile": "{{pebble.AuthorityFile}}" } } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } },
                "Management": { "Address": "http://127.0.0.1:{{management}}" } } }
            """);
        using var clients = new TlsClients(tls, pebble.Root, Name);
        await using var balancer = await Upgrades.StartAsync(files.File("loadbalancer.json"), management);
        await using (var load = new SteadyLoad(plain, isKeptAlive: false))
        {
            await asked.Task;
            await load.AnsweredAsync(10);

            await balancer.UpgradeAsync();
            mayAsk.SetResult();

            await load.AnsweredAsync(10);
            (await balancer.First.ExitAsync()).Should().Be(0);
            // What was given up is ordered anew after a minute.
            for (var i = 0; i < 3 && !await clients.AllAnswerAsync(); i++)
            {
                await Task.Delay(TimeLimits.Of(30), TimeProvider.System);
            }
            await Eventually.BeTrueAsync(clients.AllAnswerAsync, "there is a certificate");
            load.Failures.Should().BeEmpty();
        }
        pebble.Orders.Should().BeInRange(1, 2);
    }
}
