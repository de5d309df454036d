using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>Clients that do not take what is sent to them.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class SendTimeoutTests(string transport)
{
    private static readonly TimeSpan SendTimeout = TimeSpan.FromSeconds(100);
    private static readonly TimeSpan AlmostIt = TimeSpan.FromSeconds(90);

    private readonly FakeTimeProvider _clock = new();
    private readonly byte[] _buffer = new byte[16 * 1024 * 1024];
    private IConnectionListener _listener = null!;

    [SetUp]
    public async Task SetUp() =>
        _listener = await new KestrelTransport(
        transport == Transports.Epoll, ListenSocket.BindTcp, new() { SendTimeout = () => SendTimeout }, _clock, NullLoggerFactory.Instance)
            .BindAsync(new IPEndPoint(IPAddress.Loopback, 0));

    [TearDown]
    public async Task TearDown() => await _listener.DisposeAsync();

    [Test]
    public async Task Flush_ClientTakesNothing_IsResetAtTheTimeOut()
    {
        using var client = await ConnectAsync();
        await using var server = (await _listener.AcceptAsync())!;
        var flushing = await FillAsync(server.Transport.Output);

        _clock.Advance(AlmostIt);
        flushing.IsCompleted.Should().BeFalse();
        await AdvanceUntilAsync(flushing);

        (await flushing).IsCompleted.Should().BeTrue();
        await FluentActions.Awaiting(() => ReadToEndAsync(client)).Should().ThrowAsync<SocketException>();
        await FluentActions.Awaiting(async () => await server.Transport.Input.ReadAsync())
            .Should().ThrowAsync<ConnectionAbortedException>();
    }

    [Test]
    public async Task Dispose_ClientDoesNotTakeTheRest_EndsAtTheTimeOut()
    {
        using var client = await ConnectAsync();
        var server = (await _listener.AcceptAsync())!;
        var flushing = await FillAsync(server.Transport.Output);
        server.Transport.Output.CancelPendingFlush();
        await flushing;

        var disposing = server.DisposeAsync();
        _clock.Advance(AlmostIt);
        disposing.IsCompleted.Should().BeFalse();

        await AdvanceUntilAsync(disposing.AsTask());
    }

    [Test]
    public async Task Flush_ClientTakesALittleNowAndThen_IsNeverReset()
    {
        using var client = await ConnectAsync();
        await using var server = (await _listener.AcceptAsync())!;
        var flushing = await FillAsync(server.Transport.Output);

        for (var i = 0; i < 10; i++)
        {
            // Twice as much as the client has room for: so the server's kernel has seen acknowledgements of this before time passes.
            for (var taken = 0; taken < 4 * client.ReceiveBufferSize;)
            {
                await Eventually.BeTrueAsync(() => client.Available > 0, "what it has room for, the kernel sends at once");
                taken += await client.ReceiveAsync(_buffer);
            }
            _clock.Advance(AlmostIt);
        }
        flushing.IsCompleted.Should().BeFalse("we have seen nothing of it; the kernel has");
        server.Transport.Output.CancelPendingFlush();
        var disposing = server.DisposeAsync();

        await FluentActions.Awaiting(() => ReadToEndAsync(client)).Should().NotThrowAsync();
        await disposing;
    }

    [Test]
    public async Task Requests_PipelinedAndNoAnswerEverRead_AreCutInTheEnd()
    {
        await using var node =
            await TestNode.StartAsync([$"http://127.0.0.1:{ReservedPorts.Next()}"],
            listener: listener => listener with { StatusEndpoints = true, MaxConnections = 1 }, time: _clock);
        using var client = await node.ConnectAsync();
        var sending = SendForEverAsync(client);

        await AdvanceUntilAsync(sending);

        await Eventually.BeTrueAsync(
            async () => (await node.ExchangeAsync("GET /health HTTP/1.0\r\nHost: a\r\n\r\n"))
                .StartsWith("HTTP/1.1", StringComparison.Ordinal), "its place is free");
    }

    // Something may still be on its way at first.
    private Task AdvanceUntilAsync(Task done) =>
        Eventually.BeDoneAsync(done, _clock, TimeSpan.FromSeconds(10), "nothing moves, and that has an end");

    private static async Task SendForEverAsync(RawPeer client)
    {
        var requests = string.Concat(Enumerable.Repeat("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 1000));
        try
        {
            while (true)
            {
                await client.SendAsync(requests);
            }
        }
        catch (SocketException)
        {
            // It was cut.
        }
    }

    // Writes until a flush waits.
    private async Task<Task<FlushResult>> FillAsync(PipeWriter output)
    {
        while (true)
        {
            var flushing = output.WriteAsync(_buffer);
            if (!flushing.IsCompleted)
            {
                return flushing.AsTask();
            }
            await flushing;
        }
    }

    private async Task ReadToEndAsync(Socket socket)
    {
        while (await socket.ReceiveAsync(_buffer) > 0)
        {
        }
    }

    private async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 * 1024 };
        await socket.ConnectAsync(_listener.EndPoint);
        return socket;
    }
}
