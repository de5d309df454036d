using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>The transport beneath Kestrel, on its own: what Kestrel relies on.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class KestrelTransportTests(string transport)
{
    private readonly List<ConnectionContext> _accepted = [];
    private IConnectionListener _listener = null!;

    [SetUp]
    public async Task SetUp() => _listener = await ListenAsync(new IPEndPoint(IPAddress.Loopback, 0));

    [TearDown]
    public async Task TearDown()
    {
        foreach (var server in _accepted)
        {
            server.Abort(); // It waits for no client then.
            await server.DisposeAsync();
        }
        _accepted.Clear();
        await _listener.DisposeAsync();
    }

    [Test]
    public async Task Accept_Always_KnowsBothEnds()
    {
        using var client = await ConnectAsync();

        var server = await AcceptAsync();

        server.LocalEndPoint.Should().Be(client.RemoteEndPoint);
        server.RemoteEndPoint.Should().Be(client.LocalEndPoint);
    }

    [TestCase("0.0.0.0")]
    [TestCase("::")]
    public async Task Accept_OnAnyAddress_KnowsWhichItWas(string address)
    {
        await using var listener = await ListenAsync(new IPEndPoint(IPAddress.Parse(address), 0));
        var port = ((IPEndPoint)listener.EndPoint).Port;
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));

        var server = (await listener.AcceptAsync())!;
        _accepted.Add(server);

        var local = (IPEndPoint)server.LocalEndPoint!;
        var remote = (IPEndPoint)server.RemoteEndPoint!;
        (local.Address.MapToIPv4(), local.Port).Should().Be((IPAddress.Loopback, port));
        (remote.Address.MapToIPv4(), remote.Port).Should().Be((IPAddress.Loopback, ((IPEndPoint)client.LocalEndPoint!).Port));
    }

    [Test]
    public async Task Accept_Unbound_ReturnsNull()
    {
        var accepting = _listener.AcceptAsync();

        await _listener.UnbindAsync();

        (await accepting).Should().BeNull();
        (await _listener.AcceptAsync()).Should().BeNull();
    }

    [Test]
    public async Task Bind_PortTaken_SaysSo()
    {
        var bind = async () => await ListenAsync((IPEndPoint)_listener.EndPoint);

        await bind.Should().ThrowAsync<AddressInUseException>();
    }

    [Test]
    public async Task Read_EndFollowsAtOnce_BytesComeFirst()
    {
        using var client = await ConnectAsync();
        await client.SendAsync("hello"u8.ToArray());
        client.Shutdown(SocketShutdown.Send);
        var server = await AcceptAsync();

        (await ReadToEndAsync(server.Transport.Input)).Should().Be("hello");

        await server.Transport.Output.WriteAsync("bye"u8.ToArray());
        await server.DisposeAsync();
        (await ReadToEndAsync(client)).Should().Be("bye", "a half of the connection is still open");
    }

    [Test]
    public async Task Read_ByteByByteWithoutConsuming_KeepsEverything()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var sent = string.Concat(Enumerable.Range(0, 3000).Select(i => (char)('a' + i % 26)));

        var reading = ReadUntilAsync(server.Transport.Input, sent.Length);
        foreach (var c in sent)
        {
            await client.SendAsync(new[] { (byte)c });
        }

        (await reading).Should().Be(sent);
    }

    [Test]
    public async Task Read_NotAllExamined_ReturnsAtOnce()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        await client.SendAsync("abc"u8.ToArray());
        var input = server.Transport.Input;

        var first = await input.ReadAsync();
        input.AdvanceTo(first.Buffer.GetPosition(1));
        var second = await input.ReadAsync();
        input.AdvanceTo(second.Buffer.Start, second.Buffer.End);

        Text(second.Buffer).Should().Be("bc");
        input.TryRead(out _).Should().BeFalse("all that came was examined");
    }

    [Test]
    public async Task Read_UrgentByteBetween_LosesNothingElse()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var reading = ReadUntilAsync(server.Transport.Input, 8);

        await client.SendAsync("some"u8.ToArray());
        client.Send("!"u8.ToArray(), SocketFlags.OutOfBand);
        await client.SendAsync("more"u8.ToArray());

        (await reading).Should().Be("somemore");
    }

    [Test]
    public async Task Read_Cancelled_ReturnsAndGoesOn()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var input = server.Transport.Input;

        var reading = input.ReadAsync();
        input.CancelPendingRead();
        var result = await reading;
        input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        using var source = new CancellationTokenSource();
        var cancelled = input.ReadAsync(source.Token).AsTask();
        await source.CancelAsync();
        await client.SendAsync("x"u8.ToArray());

        result.IsCanceled.Should().BeTrue();
        await FluentActions.Awaiting(() => cancelled).Should().ThrowAsync<OperationCanceledException>();
        (await ReadUntilAsync(input, 1)).Should().Be("x");
    }

    [Test]
    public async Task Read_ClientResets_Throws()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var reading = server.Transport.Input.ReadAsync().AsTask();

        client.Close(0);

        await FluentActions.Awaiting(() => reading).Should().ThrowAsync<ConnectionResetException>();
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task ConnectionClosed_ClientGoesWhileNobodyReads_Fires(bool reset)
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        await client.SendAsync("request"u8.ToArray());
        await ReadUntilAsync(server.Transport.Input, 7);
        server.Transport.Input.TryRead(out _);
        var closed = new TaskCompletionSource();
        server.ConnectionClosed.Register(closed.SetResult);

        client.LingerState = new LingerOption(reset, 0);
        client.Close();

        await closed.Task;
    }

    [Test]
    public async Task Flush_ClientDoesNotRead_WaitsAndIsSentWholeInTheEnd()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var output = server.Transport.Output;
        var (written, flushing) = await FillAsync(output);

        written.Should().BeLessThan(16 * 1024 * 1024, "back-pressure");
        using var source = new CancellationTokenSource();
        output.CancelPendingFlush();
        (await flushing).IsCanceled.Should().BeTrue();
        var cancelled = output.FlushAsync(source.Token).AsTask();
        await source.CancelAsync();
        await FluentActions.Awaiting(() => cancelled).Should().ThrowAsync<OperationCanceledException>();
        "end"u8.CopyTo(output.GetSpan(3));
        output.Advance(3);
        var last = output.FlushAsync();
        var disposing = server.DisposeAsync();

        var received = await ReadToEndAsync(client);
        await disposing;
        await last;
        received.Should().HaveLength(written + 3).And.EndWith("end");
        received.AsSpan(0, written).IndexOfAnyExcept('x').Should().Be(-1);
    }

    [Test]
    public async Task Flush_ClientResetsMeanwhile_IsCompleted()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var (_, flushing) = await FillAsync(server.Transport.Output);

        client.Close(0);

        (await flushing).IsCompleted.Should().BeTrue();
        (await server.Transport.Output.WriteAsync("x"u8.ToArray())).IsCompleted.Should().BeTrue();
    }

    [Test]
    public async Task Abort_BothWait_EndsBothAndResetsTheClient()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var reading = server.Transport.Input.ReadAsync().AsTask();
        var (_, flushing) = await FillAsync(server.Transport.Output);

        server.Abort(new ConnectionAbortedException("enough"));

        (await FluentActions.Awaiting(() => reading).Should().ThrowAsync<ConnectionAbortedException>()).WithMessage("enough");
        (await flushing).IsCompleted.Should().BeTrue();
        var closed = new TaskCompletionSource();
        server.ConnectionClosed.Register(closed.SetResult);
        await closed.Task; // without blocking: this may be the thread that has to close it
        await FluentActions.Awaiting(() => ReadToEndAsync(client)).Should().ThrowAsync<SocketException>();
    }

    [Test]
    public async Task Write_ManyPieces_AreSentInOrder()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        var output = server.Transport.Output;
        var expected = new StringBuilder();
        foreach (var size in new[] { 1, 4095, 4096, 4097, 100_000, 1, 60_000, 3 })
        {
            var piece = new string((char)('a' + expected.Length % 26), size);
            expected.Append(piece);
            Encoding.Latin1.GetBytes(piece, output.GetSpan(size));
            output.Advance(size);
        }

        output.UnflushedBytes.Should().Be(expected.Length);
        await output.FlushAsync();
        output.UnflushedBytes.Should().Be(0);
        var closing = server.DisposeAsync().AsTask(); // waits for the client's end

        (await ReadToEndAsync(client)).Should().Be(expected.ToString());
        client.Dispose();
        await closing;
    }

    [Test]
    public async Task Read_NobodyDoes_StopsTheClient()
    {
        using var client = await ConnectAsync();
        var server = await AcceptAsync();
        server.Transport.Input.TryRead(out _);
        client.Blocking = false;
        var megabyte = new byte[1024 * 1024];
        var sent = 0L;
        var error = SocketError.Success;
        while (error == SocketError.Success && sent < 64 * megabyte.Length)
        {
            sent += client.Send(megabyte, 0, megabyte.Length, SocketFlags.None, out error);
        }

        error.Should().Be(SocketError.WouldBlock, "the kernel's buffers are all there is");
    }

    [Test]
    public async Task Connections_ManyShortOnesAtOnce_NeverMix()
    {
        var serving = ServeEchoesAsync();

        await Task.WhenAll(Enumerable.Range(0, 32).Select(async worker =>
        {
            for (var i = 0; i < 50; i++)
            {
                using var client = await ConnectAsync();
                var text = $"worker {worker} round {i} ";
                await client.SendAsync(Encoding.Latin1.GetBytes(text));
                if (i % 5 == 0)
                {
                    client.Close(0); // Its file number is the next one's.
                    continue;
                }
                client.Shutdown(SocketShutdown.Send);
                (await ReadToEndAsync(client)).Should().Be(text);
            }
        }));

        await _listener.UnbindAsync();
        await serving;
    }

    private async Task ServeEchoesAsync()
    {
        while (await _listener.AcceptAsync() is { } connection)
        {
            _ = Task.Run(async () =>
            {
                try
                {
                    var text = await ReadToEndAsync(connection.Transport.Input);
                    await connection.Transport.Output.WriteAsync(Encoding.Latin1.GetBytes(text));
                }
                catch (ConnectionResetException)
                {
                    // As it should be for one in five.
                }
                await connection.DisposeAsync();
            });
        }
    }

    // Writes until a flush waits.
    private static async Task<(int Written, Task<FlushResult> Flushing)> FillAsync(PipeWriter output)
    {
        var written = 0;
        while (true)
        {
            output.GetSpan(64 * 1024)[..(64 * 1024)].Fill((byte)'x');
            output.Advance(64 * 1024);
            written += 64 * 1024;
            var flushing = output.FlushAsync();
            if (!flushing.IsCompleted)
            {
                return (written, flushing.AsTask());
            }
            await flushing;
        }
    }

    private async Task<IConnectionListener> ListenAsync(IPEndPoint address) =>
        await new KestrelTransport(transport == Transports.Epoll, ListenSocket.BindTcp, new(), TimeProvider.System,
        NullLoggerFactory.Instance).BindAsync(address);

    private async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(_listener.EndPoint);
        return socket;
    }

    private async Task<ConnectionContext> AcceptAsync()
    {
        var server = (await _listener.AcceptAsync())!;
        _accepted.Add(server);
        return server;
    }

    private static async Task<string> ReadUntilAsync(PipeReader reader, int count)
    {
        while (true)
        {
            var result = await reader.ReadAsync();
            if (result.Buffer.Length >= count || result.IsCompleted)
            {
                var text = Text(result.Buffer);
                reader.AdvanceTo(result.Buffer.End);
                return text;
            }
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }
    }

    private static Task<string> ReadToEndAsync(PipeReader reader) => ReadUntilAsync(reader, int.MaxValue);

    private static async Task<string> ReadToEndAsync(Socket socket)
    {
        var text = new StringBuilder();
        var buffer = new byte[64 * 1024];
        while (await socket.ReceiveAsync(buffer) is > 0 and var count)
        {
            text.Append(Encoding.Latin1.GetString(buffer, 0, count));
        }
        return text.ToString();
    }

    private static string Text(ReadOnlySequence<byte> bytes) => Encoding.Latin1.GetString(bytes);
}
