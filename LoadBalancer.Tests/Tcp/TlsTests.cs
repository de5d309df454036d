using System.Net.Security;
using System.Text;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tcp;

/// <summary>TLS that ends at a TCP listener.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TlsTests : IDisposable
{
    private readonly TestCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [Test]
    public async Task Bytes_ThroughTls_PassUnchangedBothWays()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await using var tls = await HandshakeAsync(client);
        tls.NegotiatedApplicationProtocol.Should().Be(default(SslApplicationProtocol));
        var data = new byte[3 * 1024 * 1024];
        Random.Shared.NextBytes(data);

        var sending = tls.WriteAsync(data).AsTask();
        var received = new byte[data.Length];
        await tls.ReadExactlyAsync(received);

        await sending;
        received.AsSpan().SequenceEqual(data).Should().BeTrue();
    }

    [Test]
    public async Task Client_EndsItsHalf_GetsTheRestOfTheOther()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            var (text, isReset) = await peer.ReadToItsEndAsync();
            await peer.SendAsync(isReset ? "reset" : "I have read: " + text);
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await using var tls = await HandshakeAsync(client);

        await tls.WriteAsync("all I have"u8.ToArray());
        await tls.ShutdownAsync();

        (await ReadToEndAsync(tls)).Should().Be("I have read: all I have");
        (await client.ReadToItsEndAsync()).Should().Be(("", false));
        await node.QuietAsync();
        node.Ended(ConnectionEnd.Completed).Should().Be(1);
    }

    [Test]
    public async Task Backend_EndsItsHalf_GetsTheRestOfTheOther()
    {
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("goodbye");
            peer.EndSending();
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await using var tls = await HandshakeAsync(client);

        (await ReadToEndAsync(tls)).Should().Be("goodbye");
        await tls.WriteAsync("one more thing"u8.ToArray());
        await tls.ShutdownAsync();

        (await heard.Task).Should().Be(("one more thing", false));
        await node.QuietAsync();
    }

    [Test]
    public async Task Client_Resets_IsAResetForTheBackend()
    {
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("hello");
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await using var tls = await HandshakeAsync(client);
        await tls.ReadExactlyAsync(new byte[5]);

        client.Reset();

        (await heard.Task).Should().Be(("", true));
        await node.QuietAsync();
    }

    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [ByteCase("\x15\x03\x03\0\x02\x02\x28")] // an alert
    public async Task Client_SpeaksNoTls_IsClosedAndReachesNobody(string text)
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(text);
        await client.ReadToItsEndAsync();

        await node.QuietAsync();
        (backend.Accepted, node.Ended(ConnectionEnd.Rejected)).Should().Be((0, 1));
    }

    [Test]
    public async Task Client_SaysNothing_IsClosedInTime()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend, clock);
        using var client = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Listener.Connections == 1, "it is there");

        await node.QuietAfterAsync(clock, TimeSpan.FromSeconds(10));

        (await client.ReadToItsEndAsync()).Text.Should().BeEmpty();
    }

    [Test]
    public async Task Backend_NoneAnswers_ClientIsToldThroughTls()
    {
        await using var node = await TcpNode.StartAsync(
            [ReservedPorts.Next()], listener: listener =>
                listener with { Certificates = [_certificates.Issue("chat", "chat.test")], UnavailableMessage = "nobody is there" });
        using var client = await node.ConnectAsync();
        await using var tls = await HandshakeAsync(client);

        (await ReadToEndAsync(tls)).Should().Be("nobody is there");
    }

    private static async Task<SslStream> HandshakeAsync(RawPeer client)
    {
        var tls = new SslStream(client.Stream, leaveInnerStreamOpen: true, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "chat.test" });
        return tls;
    }

    private static async Task<string> ReadToEndAsync(SslStream tls)
    {
        var text = new MemoryStream();
        await tls.CopyToAsync(text);
        return Encoding.UTF8.GetString(text.ToArray());
    }

    private Task<TcpNode> StartAsync(RawServer backend, TimeProvider? time = null) =>
        TcpNode.StartAsync([backend.Port], listener: listener =>
        listener with { Certificates = [_certificates.Issue("chat", "chat.test")] }, time: time);
}
