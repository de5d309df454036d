using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>Backends that listen on Unix sockets.</summary>
internal sealed class UnixBackendTests
{
    private TemporaryDirectory _directory = null!;
    private UnixDomainSocketEndPoint _socket = null!;

    [SetUp]
    public void MakePath()
    {
        _directory = new TemporaryDirectory();
        _socket = new UnixDomainSocketEndPoint(_directory.File("app.sock"));
    }

    [TearDown]
    public void DeletePath() => _directory.Dispose();

    [Test]
    public async Task Get_UnixBackend_ServesOverAKeptConnection()
    {
        var heads = new List<string>();
        await using var server = new RawServer(
            async (peer, _) =>
            {
                while (await peer.ReadHeadAsync() is { } head)
                {
                    heads.Add(head);
                    await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            },
            _socket);
        await using var node = await TestNode.StartAsync([$"unix:{_socket}"]);

        for (var i = 0; i < 3; i++)
        {
            (await node.ExchangeAsync("GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")).Should().EndWith("\r\n\r\nok");
        }

        heads.Should().HaveCount(3).And.AllSatisfy(head => head.Should().StartWith("GET /a HTTP/1.1\r\n")
            .And.Contain("Host: shop.example\r\n").And.Contain("X-Forwarded-For: 127.0.0.1\r\n"));
        server.Accepted.Should().Be(1);
    }

    [Test]
    public async Task Get_UnixBackendOfHttp2_Serves()
    {
        await using var server = Http2Server.Answering("two", at: _socket);
        await using var node = await TestNode.StartAsync([$"unix:{_socket}"], pool => pool with { HttpVersion = HttpVersion.Version20 });
        using var client = await node.ConnectAsync(); // one connection, and so one event loop

        for (var i = 0; i < 4; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (await client.ReadUntilAsync("\r\n0\r\n\r\n")).Should().EndWith("\r\n3\r\ntwo\r\n0\r\n\r\n");
        }

        // The client's event loop has one; the first request may have opened another before the client was on a loop.
        server.Accepted.Should().BeLessThanOrEqualTo(2);
    }

    [Test]
    public async Task Get_NobodyListens_IsTriedOnTheNextBackend()
    {
        await using var other = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
        await using var node = await TestNode.StartAsync([$"unix:{_socket}", other.Address]);

        (await node.Client.GetStringAsync("/")).Should().Be("other");
        (await node.Client.GetStringAsync("/")).Should().Be("other");

        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
        await node.Log.SaysAsync("no such socket");
    }

    [Test]
    public async Task Get_ResponseIsLong_ArrivesWhole()
    {
        var body = new string('x', 3_000_000);
        await using var server = RawServer.Answering($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}", _socket);
        await using var node = await TestNode.StartAsync([$"unix:{_socket}"]);

        (await node.Client.GetStringAsync("/")).Should().HaveLength(body.Length);
    }

    [Test]
    public async Task Get_ServerRestarts_ServesAgain()
    {
        await using var server = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", _socket);
        await using var node = await TestNode.StartAsync(
            [$"unix:{_socket}"],
            pool => pool with { HealthCheck = new HealthCheckOptions { DownInterval = TimeSpan.FromMilliseconds(50) } });
        (await node.Client.GetStringAsync("/")).Should().Be("ok");

        await server.KillAsync();
        await Eventually.BeTrueAsync(() => !node.Pool.Snapshot.Members[0].Health.IsUp, "the probe finds it down");
        server.Restart();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Health.IsUp, "the probe finds it up");

        (await node.Client.GetStringAsync("/")).Should().Be("ok");
    }

    [Test]
    public async Task Probe_UnixBackend_AsksForLocalhost()
    {
        var asked = new TaskCompletionSource<string>();
        await using var server = new RawServer(
            async (peer, _) =>
            {
                asked.TrySetResult((await peer.ReadHeadAsync())!);
                await peer.SendAsync("HTTP/1.1 204 No Content\r\n\r\n");
            },
            _socket);
        await using var node = await TestNode.StartAsync(
            [$"unix:{_socket}"], pool => pool with { HealthCheck = new HealthCheckOptions { Path = "/up" } });

        (await asked.Task).Should().StartWith("GET /up HTTP/1.1\r\nHost: localhost\r\n");
    }

    [Test]
    public async Task Connect_UnixBackendOfTcpListener_IsRelayed()
    {
        await using var server = new RawServer(
            async (peer, _) =>
            {
                while (await peer.ReadSomeAsync() is { Length: > 0 } text)
                {
                    await peer.SendAsync(text);
                }
            },
            _socket);
        await using var node = await TcpNode.StartAsync(
            [], pool => pool with
            {
                Backends = new Dictionary<string, BackendOptions> { ["b1"] = new() { Address = TestNode.Parse($"unix:{_socket}") } },
                HealthCheck = new HealthCheckOptions { Type = ProbeType.Tcp },
            });
        using var client = await node.ConnectAsync();

        await client.SendAsync("to and fro");
        client.EndSending();

        (await client.ReadToItsEndAsync()).Should().Be(("to and fro", false));
        await node.QuietAsync();
        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeTrue();
    }
}
