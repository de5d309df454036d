using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>How connections with TLS end, and how their sessions are resumed.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TlsSessionTests : IDisposable
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private readonly TestCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [TestCase("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\n\r\n")] // KeepAliveTimeout
    [TestCase("nonsense\r\n\r\n")]
    public async Task Connection_ClosedByUs_EndsWithCloseNotify(string request)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(
            backend, listener => listener with { KeepAliveTimeout = TimeSpan.FromMilliseconds(100) }); // Kestrel has a clock of its own.
        await using var client = await TlsRecordReader.ConnectAsync(node.Port);

        await client.Tls.WriteAsync(Encoding.ASCII.GetBytes(request));
        await client.Tls.CopyToAsync(Stream.Null);

        client.LastType.Should().Be(TlsRecordReader.Alert);
    }

    [Test]
    public async Task Connection_NodeStops_EndsWithCloseNotify()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        await using var client = await TlsRecordReader.ConnectAsync(node.Port);
        await client.Tls.WriteAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n"u8.ToArray());
        await client.Tls.ReadExactlyAsync(new byte[Ok.Length]);

        await node.StopAsync();
        await client.Tls.CopyToAsync(Stream.Null);

        client.LastType.Should().Be(TlsRecordReader.Alert);
    }

    [Test]
    public async Task Connection_NodeStopsDuringTheHandshake_IsToldToGoAway()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        var (begun, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        var connecting = Http2Peer.ConnectWithTlsAsync(node.Port, inner => new HeldStream(inner, begun, finish.Task));
        await begun.Task;

        var stopping = node.StopAsync();
        await RawPeer.RefusedAsync(node.Port);
        finish.SetResult();

        using var client = await connecting;
        (await client.ReadFrameAsync(Http2Wire.GoAway)).Should().NotBeNull("its requests are safe to send on another connection");
        await stopping;
    }

    [Test]
    public async Task Connection_BackendBreaksOff_EndsWithoutCloseNotify()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok");
            peer.Reset();
        });
        await using var node = await StartAsync(backend);
        await using var client = await TlsRecordReader.ConnectAsync(node.Port);
        await client.Tls.WriteAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n"u8.ToArray());

        await client.Tls.CopyToAsync(Stream.Null).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        client.LastType.Should().NotBe(TlsRecordReader.Alert, "the client must see that something is missing");
    }

    [TestCase("-tls1_2", "-noservername")]
    [TestCase("-tls1_3", "-noservername")]
    [TestCase("-tls1_2", "-servername", "it.test")]
    [TestCase("-tls1_3", "-servername", "it.test")]
    public async Task Session_SecondHandshake_IsResumed(params string[] options)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        var session = _certificates.Write("session", "");
        string[] common = ["s_client", "-connect", $"127.0.0.1:{node.Port}", .. options, "-ign_eof"];
        const string Request = "GET / HTTP/1.1\r\nHost: it.test\r\nConnection: close\r\n\r\n";

        var (first, second) = ("", "");
        // Each time that the framework has made 32 contexts it drops those that no connection has, and their sessions: other tests do that.
        for (var i = 0; i < 5 && !second.Contains("\nReused, ", StringComparison.Ordinal); i++)
        {
            first = await OpenSsl.RunAsync(Request, [.. common, "-sess_out", session]);
            second = await OpenSsl.RunAsync(Request, [.. common, "-sess_in", session]);
        }

        first.Should().Contain("\nNew, TLSv1.");
        second.Should().Contain("\nReused, TLSv1.").And.Contain("HTTP/1.1 200 OK").And.NotContain("unexpected eof");
    }

    [TestCase("Modern", "-tls1_3", "Reused, TLSv1.3")]
    [TestCase("Modern", "-tls1_2", null)]
    [TestCase("Intermediate", "-tls1_3", "Reused, TLSv1.3")]
    [TestCase("Intermediate", "-tls1_2", "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256")]
    [TestCase("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "-tls1_2", "New, TLSv1.2, Cipher is ECDHE-ECDSA-CHACHA20-POLY1305")]
    [TestCase("ECDHE-ECDSA-CHACHA20-POLY1305", "-tls1_3", "Reused, TLSv1.3")]
    [TestCase("TLS_CHACHA20_POLY1305_SHA256", "-tls1_3", "New, TLSv1.3, Cipher is TLS_CHACHA20_POLY1305_SHA256")]
    [TestCase("TLS_CHACHA20_POLY1305_SHA256", "-tls1_2", null)]
    [Platform(Exclude = "Win", Reason = "cipher suites cannot be set for one program there")]
    public async Task Ciphers_OfAListener_AreWhatIsSpokenAndTls13Resumes(string ciphers, string version, string? second)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener with { Ciphers = [ciphers] });
        var session = _certificates.Write("session", "");
        string[] common = ["s_client", "-connect", $"127.0.0.1:{node.Port}", version, "-ign_eof"];
        const string Request = "GET / HTTP/1.1\r\nHost: it.test\r\nConnection: close\r\n\r\n";

        var (first, again) = ("", "");
        for (var i = 0; i < 5 && !again.Contains(second ?? "", StringComparison.Ordinal) || i == 0; i++) // See above.
        {
            first = await OpenSsl.RunAsync(Request, [.. common, "-sess_out", session]);
            again = await OpenSsl.RunAsync(
                Request, [.. common, .. File.ReadAllText(session) == "" ? [] : (string[])["-sess_in", session]]);
        }

        if (second is null)
        {
            (first + again).Should().Contain("alert").And.NotContain("HTTP/1.1 200 OK");
        }
        else
        {
            again.Should().Contain(second).And.Contain("HTTP/1.1 200 OK");
        }
    }

    [Test]
    public async Task Connection_WithoutARequest_EndsWithCloseNotifyAfterKeepAliveTimeout()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener, clock);
        await using var client = await TlsRecordReader.ConnectAsync(node.Port);

        var end = client.Tls.CopyToAsync(Stream.Null);
        // The node may not be done with the handshake, which may take 10 s.
        await Eventually.BeDoneAsync(end, clock, TimeSpan.FromSeconds(0.5), "it is closed");

        client.LastType.Should().Be(TlsRecordReader.Alert);
    }

    [Test]
    public async Task Connection_WithoutARequestWhenTheNodeStops_EndsWithCloseNotify()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        await using var client = await TlsRecordReader.ConnectAsync(node.Port);

        await node.StopAsync();
        await client.Tls.CopyToAsync(Stream.Null);

        client.LastType.Should().Be(TlsRecordReader.Alert);
    }

    private Task<TestNode> StartAsync(
        RawServer backend, Func<HttpListenerOptions, HttpListenerOptions>? change = null, TimeProvider? time = null)
    {
        var certificate = _certificates.Issue("it", "it.test");
        return TestNode.StartAsync(
            [backend.Address],
            listener: listener =>
            {
                var tls = listener with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = [certificate] };
                return change?.Invoke(tls) ?? tls;
            },
            time: time);
    }

    /// <summary>Holds back what is written after the first time, such as the end of a handshake.</summary>
    private sealed class HeldStream(Stream inner, TaskCompletionSource reached, Task goOn) : AsyncStream
    {
        private int _writes;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            inner.ReadAsync(buffer, cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (++_writes == 2)
            {
                reached.SetResult();
                await goOn;
            }
            await inner.WriteAsync(buffer, cancellationToken);
        }

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
