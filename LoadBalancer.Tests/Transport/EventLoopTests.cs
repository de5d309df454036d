using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport;

/// <summary>What sockets of one event loop owe each other.</summary>
[Platform("Linux")]
internal sealed class EventLoopTests
{
    private const int ManySteps = 10_000;
    private const int LargeBuffer = 4 * 1024 * 1024;

    private readonly List<IDisposable> _opened = [];
    private Socket _listener = null!;

    [SetUp]
    public void SetUp() => _listener = Listen(new IPEndPoint(IPAddress.Loopback, 0));

    [TearDown]
    public void TearDown()
    {
        _opened.ForEach(socket => socket.Dispose());
        _opened.Clear();
        _listener.Dispose();
    }

    [Test]
    public async Task Receive_BackendAlwaysHasMore_OthersAreServed()
    {
        var (first, firstBackend) = await OpenAsync();
        var served = await OnLoopAsync(first.ReceiveAsync(new byte[1]), firstBackend, async () =>
        {
            var (busy, backend) = await OpenAsync();
            var buffer = new byte[16];
            backend.Send(new byte[32 * 1024]);
            await busy.ReceiveAsync(buffer); // From now on there is always something to be had at once.
            var other = await ServeOtherAsync();

            for (var i = 0; i < ManySteps && !other.Task.IsCompleted; i++)
            {
                backend.Send(buffer);
                await busy.ReceiveAsync(buffer);
            }
            return other.Task.IsCompleted;
        });

        served.Should().BeTrue();
    }

    [Test]
    public async Task Read_ClientAlwaysHasMore_OthersAreServed()
    {
        await using var listener = await new KestrelTransport(
            true, address => new ListenSocket(Listen(address)), new(), TimeProvider.System, NullLoggerFactory.Instance)
            .BindAsync(new IPEndPoint(IPAddress.Loopback, 0));
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp) { SendBufferSize = LargeBuffer, NoDelay = true };
        await client.ConnectAsync(listener.EndPoint);
        client.Blocking = false;
        await using var server = (await listener.AcceptAsync())!;
        var input = server.Transport.Input;

        var served = await OnLoopAsync(input.ReadAsync(), client, async () =>
        {
            var buffer = new byte[1024 * 1024];
            TaskCompletionSource? other = null;
            for (var i = 0; i < ManySteps && other is not { Task.IsCompleted: true }; i++)
            {
                client.Send(buffer, 0, buffer.Length, SocketFlags.None, out _);
                input.AdvanceTo((await input.ReadAsync()).Buffer.End);
                other ??= await ServeOtherAsync(); // From now on there is always something to be had at once.
            }
            return other!.Task.IsCompleted;
        });

        served.Should().BeTrue();
    }

    // Whatever waits for a socket continues on its loop's thread, so long as nothing has come before it waits.
    private static async Task<bool> OnLoopAsync<T>(ValueTask<T> receiving, Socket peer, Func<Task<bool>> action)
    {
        var begun = new TaskCompletionSource<Task<bool>>(TaskCreationOptions.RunContinuationsAsynchronously);
        receiving.GetAwaiter().OnCompleted(() => begun.SetResult(action()));
        peer.Send(new byte[1]);
        return await await begun.Task;
    }

    // Another connection of this loop, that waits for a byte which has come.
    private async Task<TaskCompletionSource> ServeOtherAsync()
    {
        var (connection, backend) = await OpenAsync();
        var served = new TaskCompletionSource();
        _ = ServeAsync();
        backend.Send(new byte[1]);
        return served;

        async Task ServeAsync()
        {
            await connection.ReceiveAsync(new byte[1]);
            served.SetResult();
        }
    }

    private async Task<(ISocketConnection Connection, Socket Backend)> OpenAsync()
    {
        var connection = await Connector.OpenAsync(
            true, new EndpointAddress("tcp", "127.0.0.1", ((IPEndPoint)_listener.LocalEndPoint!).Port), null, CancellationToken.None);
        var backend = _listener.Accept();
        backend.NoDelay = true;
        _opened.AddRange([connection, backend]);
        return (connection, backend);
    }

    private static Socket Listen(EndPoint address)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = LargeBuffer }; // as will be those accepted
        socket.Bind(address);
        socket.Listen(16);
        return socket;
    }
}
