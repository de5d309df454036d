using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Certificates from a real authority, from the first one to the end of the authority.</summary>
internal sealed class CertificatesThatAreGotTests
{
    private static readonly string[] Names = ["shop.test", "admin.test"];

    [Test]
    public async Task Node_GetsCertificates_ServesAndRenewsThemAndNeedsTheAuthorityForNothingElse()
    {
        var (plain, tls, tcp) = (ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next());
        await using var pebble = await Pebble.StartAsync(plain);
        await using var backend = await KestrelBackend.StartAsync(context => context.Response.WriteAsync("one"), HttpProtocols.Http1);
        using var files = new TemporaryDirectory();
        string Configuration(string? email) => $$"""
            { "LoadBalancer": {
                "Listeners": {
                  "plain": { "Address": "http://127.0.0.1:{{plain}}", "Pool": "web", "RedirectToHttps": true, "Deny": [ "127.0.0.0/8" ] },
                  "web": { "Address": "https://127.0.0.1:{{tls}}", "Pool": "web", "Acme": {
                    "Directory": "{{pebble.Directory}}", "Names": [ "{{Names[0]}}", "{{Names[1]}}." ], "AcceptTerms": true,
                    "Store": "{{files.File("acme")}}", "AuthorityFile": "{{pebble.AuthorityFile}}"
                    {{(email is null ? "" : $", \"Email\": \"{email}\"")}} } },
                  "relay": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{tcp}}", "Pool": "tcp", "Acme": {
                    "Directory": "{{pebble.Directory}}", "Names": [ "{{Names[0]}}" ], "AcceptTerms": true,
                    "Store": "{{files.File("acme")}}", "AuthorityFile": "{{pebble.AuthorityFile}}" } } },
                "Pools": {
                  "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } },
                  "tcp": { "Backends": { "b1": { "Address": "{{backend.Address.Replace("http", "tcp")}}" } } } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """;
        string Stored(string kind) => string.Concat(
            Directory.EnumerateFiles(files.File("acme"), kind, SearchOption.AllDirectories).Order().Select(File.ReadAllText));
        using var clients = new TlsClients(tls, pebble.Root, Names);
        using var relayed = new TlsClients(tcp, pebble.Root, Names);

        // A first certificate for each of two names, and answers verified against the authority's root.
        await using (var node = await ConfiguredNode.StartRawAsync(Configuration(null)))
        {
            (await clients.TryAskAsync(Names[0])).Should().NotBeNull("a certificate that is signed by itself is there from the start");
            await Eventually.BeTrueAsync(clients.AllAnswerAsync, "both names have certificates");
            await Eventually.BeTrueAsync(
                async () => await relayed.TryAskAsync(Names[0]) is null, "a listener for TCP has the same certificate");
            var metrics = await node.Management.GetStringAsync("/metrics");
            metrics.Should().Contain($"loadbalancer_certificate_not_after_seconds{{listener=\"web\",name=\"{Names[0]}\"}}")
                .And.Contain($"name=\"{Names[1]}\"");
            var unknown = await node.Client.GetAsync("/.well-known/acme-challenge/unknown");
            unknown.StatusCode.Should().Be(System.Net.HttpStatusCode.PermanentRedirect, "a token of nobody goes where all requests go");
            await Eventually.BeTrueAsync(
                () => node.Log.Lines.Count(line => line.Contains("has issued one")) == Names.Length, "the orders have ended");
        }

        // A restart orders nothing, also when the node has looked at what there is.
        var clock = new ShiftedClock();
        var (orders, stored, attempts) = (pebble.Orders, Stored("*.pem"), Stored("*.json"));
        orders.Should().BeGreaterThanOrEqualTo(Names.Length, "the authority tells of orders");
        await using (var node = await ConfiguredNode.StartRawAsync(Configuration(null), clock))
        {
            (await clients.AllAnswerAsync()).Should().BeTrue("the certificates are in the store");
            await Eventually.BeTrueAsync(() => clock.LongSleeps >= Names.Length, "each name waits for its renewal");
            (pebble.Orders, Stored("*.pem"), Stored("*.json")).Should().Be((orders, stored, attempts));

            // Renewed while clients come and go.
            var load = clients.LoadAsync();
            await Eventually.BeTrueAsync(() => clients.Answered > 0, "clients come");
            clock.Shift = TimeSpan.FromDays(70);
            await node.ApplyAsync(Configuration("ops@example.com")); // Only so that it looks at the clock now.
            await Eventually.BeTrueAsync(() => node.Log.Lines.Count(line => line.Contains("was taken up")) == 3, "all are renewed");
            Stored("*.pem").Should().NotBe(stored);

            // The authority is gone for the rest. Nobody who comes or goes needs it.
            await pebble.KillAsync();
            var answered = clients.Answered;
            await Eventually.BeTrueAsync(() => clients.Answered > answered + 10, "clients go on");
            await clients.EndAsync(load);
            clients.Failures.Should().BeEmpty();
        }
        stored = Stored("*.pem");
        await using (var node = await ConfiguredNode.StartRawAsync(Configuration(null)))
        {
            (await clients.AllAnswerAsync()).Should().BeTrue("the certificates are in the store");
            (await relayed.TryAskAsync(Names[0])).Should().BeNull();
            await node.StopAsync();
            node.Log.Lines.Should().NotContain(line => line.Contains("certificate of"));
            Stored("*.pem").Should().Be(stored);
        }
    }

    /// <summary>The system's clock, as a user has set it.</summary>
    private sealed class ShiftedClock : TimeProvider
    {
        private int _longSleeps;

        public TimeSpan Shift { get; set; }

        /// <summary>How many have begun to wait for an hour, which is the longest that a name waits before it looks again.</summary>
        public int LongSleeps => Volatile.Read(ref _longSleeps);

        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Shift;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Interlocked.Add(ref _longSleeps, dueTime == TimeSpan.FromHours(1) ? 1 : 0);
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }
}
