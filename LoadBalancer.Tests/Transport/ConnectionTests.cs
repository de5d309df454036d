using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>A connection to a backend on either transport, on its own.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class ConnectionTests(string transport)
{
    private readonly byte[] _buffer = new byte[64 * 1024];
    private Socket _listener = null!;

    [SetUp]
    public void SetUp()
    {
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(16);
    }

    [TearDown]
    public void TearDown() => _listener.Dispose();

    [TestCase("127.0.0.1")]
    [TestCase("localhost")]
    public async Task Open_SomebodyListens_CarriesBytesBothWays(string host)
    {
        using var connection = await OpenAsync(host);
        using var backend = await _listener.AcceptAsync();

        await connection.SendAsync("ping"u8.ToArray());
        (await backend.ReceiveAsync(_buffer)).Should().Be(4);
        var receiving = connection.ReceiveAsync(_buffer);
        await backend.SendAsync("pong!"u8.ToArray());

        (await receiving).Should().Be(5);
        backend.Shutdown(SocketShutdown.Send);
        (await connection.ReceiveAsync(_buffer)).Should().Be(0);
    }

    [Test]
    public async Task Open_NobodyListens_IsRefused()
    {
        var open = () => OpenAsync(ReservedPorts.Next(), CancellationToken.None);

        (await open.Should().ThrowAsync<SocketException>()).Which.SocketErrorCode.Should().Be(SocketError.ConnectionRefused);
    }

    [Test]
    public async Task Open_Cancelled_Throws()
    {
        using var source = new CancellationTokenSource();
        await source.CancelAsync();

        var open = () => OpenAsync(Port, source.Token);

        await open.Should().ThrowAsync<OperationCanceledException>();
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task Open_CancelledWhileNobodyAccepts_Throws(bool before)
    {
        using var nowhere = new BlackHole();
        using var source = new CancellationTokenSource();
        if (before)
        {
            await source.CancelAsync();
        }

        var opening = OpenAsync(nowhere.Port, source.Token);
        await source.CancelAsync();

        await FluentActions.Awaiting(() => opening).Should().ThrowAsync<OperationCanceledException>();
    }

    [Test]
    public async Task Send_MoreThanIsTaken_ArrivesWhole()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var data = new byte[32 * 1024 * 1024];
        Random.Shared.NextBytes(data);

        var sending = connection.SendAsync(data).AsTask();
        sending.IsCompleted.Should().BeFalse("the peer has received nothing yet");
        var received = new byte[data.Length];
        for (var count = 0; count < data.Length;)
        {
            count += await backend.ReceiveAsync(received.AsMemory(count));
        }

        await sending;
        received.AsSpan().SequenceEqual(data).Should().BeTrue();
    }

    [Test]
    public async Task Receive_Reset_Throws()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var receiving = connection.ReceiveAsync(_buffer).AsTask();

        backend.Close(0);

        (await FluentActions.Awaiting(() => receiving).Should().ThrowAsync<SocketException>()).Which.SocketErrorCode.Should()
            .Be(SocketError.ConnectionReset);
    }

    [Test]
    public async Task Dispose_BothWait_EndsBothAndAllThatFollows()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var receiving = connection.ReceiveAsync(_buffer).AsTask();
        var sending = connection.SendAsync(new byte[32 * 1024 * 1024]).AsTask();

        connection.Dispose();

        await ShouldFailAsync(receiving);
        await ShouldFailAsync(sending);
        for (var i = 0; i < 3; i++)
        {
            await ShouldFailAsync(connection.ReceiveAsync(_buffer).AsTask());
            await ShouldFailAsync(connection.SendAsync(_buffer).AsTask());
        }
        connection.TryPark(_buffer, () => { }).Should().BeFalse();
    }

    [TestCase("end")]
    [TestCase("reset")]
    [TestCase("bytes")]
    public async Task Rest_SomethingHappens_HasClosed(string what)
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var closed = new TaskCompletionSource();
        connection.TryPark(_buffer, closed.SetResult).Should().BeTrue();

        switch (what)
        {
            case "end":
                backend.Shutdown(SocketShutdown.Send);
                break;
            case "reset":
                backend.Close(0);
                break;
            default:
                await backend.SendAsync("unasked"u8.ToArray());
                break;
        }

        await closed.Task;
        connection.TryResume().Should().BeFalse();
    }

    [Test]
    public async Task Rest_ClosedBefore_IsRefused()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        await backend.SendAsync("x"u8.ToArray());
        backend.Shutdown(SocketShutdown.Send);
        (await connection.ReceiveAsync(_buffer)).Should().Be(1);

        // The end may be a little later than the byte.
        var closed = new TaskCompletionSource();
        if (connection.TryPark(_buffer, closed.SetResult))
        {
            await closed.Task;
        }
        connection.TryResume().Should().BeFalse();
    }

    [Test]
    public async Task Rest_WokenAgainAndAgain_ServesAndNeverCloses()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var answer = new byte[_buffer.Length]; // Exactly as much as is asked for: more might follow.
        for (var i = 0; i < 100; i++)
        {
            connection.TryPark(_buffer, () => Assert.Fail("it has not closed")).Should().BeTrue();
            connection.TryResume().Should().BeTrue();
            await backend.SendAsync(answer);
            for (var count = 0; count < answer.Length;)
            {
                count += await connection.ReceiveAsync(_buffer.AsMemory(count));
            }
        }
    }

    [Test]
    public async Task Dispose_AtRest_DoesNotBlameTheBackend()
    {
        var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        connection.TryPark(_buffer, () => Assert.Fail("it was ourselves")).Should().BeTrue();

        connection.Dispose();

        (await backend.ReceiveAsync(_buffer)).Should().Be(0);
    }

    [Test]
    public async Task IsBroken_PeerResets_IsSeenThoughNobodyReceives()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        connection.Watch();
        await backend.SendAsync("unread"u8.ToArray());
        connection.IsBroken.Should().BeFalse();

        backend.Close(0);

        await Eventually.BeTrueAsync(() => connection.IsBroken, "the reset has come");
    }

    [Test]
    public async Task IsBroken_PeerEndsInGoodOrder_IsFalse()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        connection.Watch();

        backend.Shutdown(SocketShutdown.Both);

        (await connection.ReceiveAsync(_buffer)).Should().Be(0);
        connection.IsBroken.Should().BeFalse();
    }

    [Test]
    public async Task IsBroken_UrgentByte_IsFalse()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        connection.Watch();

        backend.Send("!"u8.ToArray(), SocketFlags.OutOfBand);
        await backend.SendAsync("x"u8.ToArray());

        (await connection.ReceiveAsync(_buffer)).Should().BePositive();
        connection.IsBroken.Should().BeFalse();
    }

    [Test]
    public async Task Dispose_SomebodyReceives_IsAnEndAndNotAReset()
    {
        var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        var receiving = connection.ReceiveAsync(_buffer).AsTask();

        connection.Dispose();

        (await backend.ReceiveAsync(_buffer)).Should().Be(0);
        await ShouldFailAsync(receiving);
    }

    [Test]
    public async Task UnsentBytes_PeerDoesNotRead_AreCounted()
    {
        using var connection = await OpenAsync();
        using var backend = await _listener.AcceptAsync();
        (connection.UnsentBytes, connection.UnacknowledgedBytes).Should().Be((0, 0));

        var sending = connection.SendAsync(new byte[32 * 1024 * 1024]).AsTask();

        connection.UnsentBytes.Should().BePositive();
        connection.UnacknowledgedBytes.Should().BeGreaterThanOrEqualTo(connection.UnsentBytes);
        connection.Dispose();
        await ShouldFailAsync(sending);
    }

    private int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    private static async Task ShouldFailAsync(Task task) =>
        (await FluentActions.Awaiting(() => task).Should().ThrowAsync<Exception>()).Which.Should()
        .Match(e => e is SocketException || e is ObjectDisposedException);

    private Task<ISocketConnection> OpenAsync(string host = "127.0.0.1") => OpenAsync(Port, CancellationToken.None, host);

    private Task<ISocketConnection> OpenAsync(int port, CancellationToken cancellationToken, string host = "127.0.0.1") =>
        Connector.OpenAsync(transport == Transports.Epoll, new EndpointAddress("tcp", host, port), null, cancellationToken);
}
