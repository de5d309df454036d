using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
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
        string Stored() => string.Concat(
            Directory.EnumerateFiles(files.File("acme"), "*.pem", SearchOption.AllDirectories).Order().Select(File.ReadAllText));
        var clock = new ShiftedClock();
        using var clients = new TlsClients(tls, pebble.Root);
        using var relayed = new TlsClients(tcp, pebble.Root);

        // A first certificate for each of two names, and answers verified against the authority's root.
        await using (var node = await ConfiguredNode.StartRawAsync(Configuration(null), clock))
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

            // Renewed while clients come and go.
            var before = Stored();
            var load = clients.LoadAsync();
            clock.Shift = TimeSpan.FromDays(70);
            await node.ApplyAsync(Configuration("ops@example.com")); // Only so that it looks at the clock now.
            await Eventually.BeTrueAsync(() => node.Log.Lines.Count(line => line.Contains("was taken up")) == 6, "all are renewed");
            Stored().Should().NotBe(before);
            await clients.EndAsync(load);
            clients.Failures.Should().BeEmpty();
            clients.Answered.Should().BePositive();
        }

        // A restart orders nothing; nor does the rest need the authority.
        var stored = Stored();
        foreach (var isDead in new[] { false, true })
        {
            if (isDead)
            {
                await pebble.KillAsync();
            }
            await using var again = await ConfiguredNode.StartRawAsync(Configuration(null));
            (await clients.AllAnswerAsync()).Should().BeTrue("the certificates are in the store");
            await again.StopAsync();
            again.Log.Lines.Should().NotContain(line => line.Contains("certificate of"));
            Stored().Should().Be(stored);
        }
    }

    /// <summary>The system's clock, as a user has set it.</summary>
    private sealed class ShiftedClock : TimeProvider
    {
        public TimeSpan Shift { get; set; }

        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Shift;
    }

    /// <summary>Clients that trust one root, and open a connection for each request.</summary>
    private sealed class TlsClients : IDisposable
    {
        private readonly int _port;
        private readonly HttpClient _client;
        private readonly CancellationTokenSource _end = new();

        public TlsClients(int port, X509Certificate2 root)
        {
            _port = port;
            var policy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            policy.CustomTrustStore.Add(root);
            _client = new HttpClient(new SocketsHttpHandler
            {
                UseProxy = false,
                PooledConnectionLifetime = TimeSpan.Zero,
                SslOptions = { CertificateChainPolicy = policy },
                ConnectCallback = async (_, cancellationToken) =>
                {
                    var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                    await socket.ConnectAsync("127.0.0.1", port, cancellationToken);
                    return new NetworkStream(socket, ownsSocket: true);
                },
            });
        }

        public ConcurrentQueue<string> Failures { get; } = [];

        public int Answered { get; private set; }

        /// <summary>Why a name is not answered; null where it is.</summary>
        public async Task<string?> TryAskAsync(string name)
        {
            try
            {
                return await _client.GetStringAsync($"https://{name}:{_port}/") == "one" ? null : "another answer";
            }
            catch (HttpRequestException e)
            {
                return e.ToString();
            }
        }

        public async Task<bool> AllAnswerAsync()
        {
            foreach (var name in Names)
            {
                if (await TryAskAsync(name) is not null)
                {
                    return false;
                }
            }
            return true;
        }

        public async Task LoadAsync()
        {
            while (!_end.IsCancellationRequested)
            {
                if (await TryAskAsync(Names[Answered % Names.Length]) is { } failure)
                {
                    Failures.Enqueue(failure);
                }
                Answered++;
            }
        }

        public async Task EndAsync(Task load)
        {
            await _end.CancelAsync();
            await load;
        }

        public void Dispose()
        {
            _client.Dispose();
            _end.Dispose();
        }
    }
}
