using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>One backend whose name has several addresses, which come and go.</summary>
internal sealed class HostAddressTests
{
    private static readonly IPAddress One = IPAddress.Loopback;
    private static readonly IPAddress Two = IPAddress.Parse("127.0.0.2");

    private HostAddresses _hosts = null!;

    [SetUp]
    public void Forget() => _hosts = new("app.invalid");

    [Test]
    public async Task Get_OneAddressRefuses_TheNextServesAndNothingCountsAgainstTheBackend()
    {
        await using var server = RawServer.Answering(Naming("one"));
        await using var node = await StartAsync("http", server.Port);
        _hosts.Set([Two, One]);

        (await node.Client.GetStringAsync("/")).Should().Be("one");

        var backend = node.Pool.Snapshot.Members[0];
        (backend.Health.IsUp, backend.Failures).Should().Be((true, 0L));
        node.Pool.Statistics.Retries.Should().Be(0);
    }

    [Test]
    public async Task Get_AllAddressesRefuse_CountsOnceAgainstTheBackend()
    {
        await using var node = await StartAsync("http", ReservedPorts.Next());
        _hosts.Set([One, Two]);

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.BadGateway);
        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }

    [Test]
    public async Task Get_NameIsNotKnownYet_WaitsForTheFirstAnswer()
    {
        await using var server = RawServer.Answering(Naming("one"));
        await using var node = await StartAsync("http", server.Port);
        var requests = Enumerable.Range(0, 20).Select(_ => node.Client.GetStringAsync("/")).ToList();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == requests.Count, "all wait");

        _hosts.Set([One]);

        (await Task.WhenAll(requests)).Should().AllBe("one");
    }

    [Test]
    public async Task Get_AddressHasLeft_ItsKeptConnectionsAreNotUsed()
    {
        var clock = new FakeTimeProvider();
        var port = ReservedPorts.Next();
        await using var one = RawServer.Answering(Naming("one"), new IPEndPoint(One, port));
        await using var two = RawServer.Answering(Naming("two"), new IPEndPoint(Two, port));
        await using var node = await StartAsync("http", port, time: clock);
        _hosts.Set([One]);
        (await node.Client.GetStringAsync("/")).Should().Be("one");

        _hosts.Set([Two]);

        (await node.Client.GetStringAsync("/")).Should().Be("two");
        await Eventually.BeTrueAsync(() => one.Open == 0, "the kept connection is closed");
        (await node.Client.GetStringAsync("/")).Should().Be("two");
        two.Accepted.Should().Be(1, "the new connection is kept");
    }

    [Test]
    public async Task Sweep_AddressHasLeft_ItsKeptConnectionsAreClosed()
    {
        var clock = new FakeTimeProvider();
        await using var one = RawServer.Answering(Naming("one"));
        await using var node = await StartAsync("http", one.Port, time: clock);
        _hosts.Set([One]);
        await node.Client.GetStringAsync("/");

        _hosts.Set([Two]);
        clock.Advance(TimeSpan.FromMilliseconds(250));

        await Eventually.BeTrueAsync(() => one.Open == 0, "the kept connection is closed");
    }

    [Test]
    public async Task Get_AddressHasLeft_ItsHttp2ConnectionEndsWithItsStreams()
    {
        var port = ReservedPorts.Next();
        var (arrived, told) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var one = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    arrived.TrySetResult();
                    await told.Task;
                    await peer.AnswerAsync(request.Stream, "one");
                }
            },
            at: new IPEndPoint(One, port));
        await using var two = Http2Server.Answering("two", at: new IPEndPoint(Two, port));
        await using var node = await StartAsync("http", port, pool => pool with { HttpVersion = HttpVersion.Version20 });
        _hosts.Set([One]);
        var before = node.Client.GetStringAsync("/");
        await arrived.Task;

        _hosts.Set([Two]);

        (await node.Client.GetStringAsync("/")).Should().Be("two");
        told.SetResult();
        (await before).Should().Be("one", "what was under way goes on");
        (await node.Client.GetStringAsync("/")).Should().Be("two");
    }

    [Test]
    public async Task Get_AddressHasLeft_ItsTlsConnectionsAreNotUsed(
        [Values(HttpProtocols.Http1, HttpProtocols.Http2)] HttpProtocols spoken)
    {
        using var certificates = new TestCertificates();
        var certificate = certificates.Issue("b", "app.invalid");
        var port = ReservedPorts.Next();
        await using var one = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync("one"), spoken, certificate, port, One);
        await using var two = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync("two"), spoken, certificate, port, Two);
        await using var node = await StartAsync(
            "https", port, pool => pool with { Tls = new() { AuthorityFile = certificates.AuthorityFile } });
        _hosts.Set([One]);
        (await node.Client.GetStringAsync("/")).Should().Be("one");
        (await node.Client.GetStringAsync("/")).Should().Be("one");

        _hosts.Set([Two]);

        (await node.Client.GetStringAsync("/")).Should().Be("two");
    }

    private static string Naming(string name) => $"HTTP/1.1 200 OK\r\nContent-Length: {name.Length}\r\n\r\n{name}";

    private async Task<TestNode> StartAsync(
        string scheme, int port, Func<PoolOptions, PoolOptions>? pool = null, TimeProvider? time = null)
    {
        var node = await TestNode.StartAsync([$"{scheme}://app.invalid:{port}"], pool, time: time);
        node.Pool.Snapshot.Members[0].Hosts = _hosts;
        return node;
    }
}
