using System.Net.Sockets;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>Connections to Unix sockets, with and without event loops.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class UnixConnectionTests(string transport)
{
    private TemporaryDirectory _directory = null!;
    private EndpointAddress _address = null!;

    [SetUp]
    public void MakePath()
    {
        _directory = new TemporaryDirectory();
        _address = new EndpointAddress("unix", _directory.File("app.sock"), EndpointAddress.NoPort);
    }

    [TearDown]
    public void DeletePath() => _directory.Dispose();

    [Test]
    public async Task Open_SomebodyListens_SendsReceivesAndEnds()
    {
        using var listener = Listen();
        using var connection = await OpenAsync();
        using var peer = new RawPeer(await listener.AcceptAsync());

        await connection.SendAsync("ping"u8.ToArray());
        await connection.EndSendingAsync();
        (await peer.ReadToEndAsync()).Should().Be("ping");
        await peer.SendAsync("pong");
        var received = new byte[4];
        (await connection.ReceiveAsync(received)).Should().Be(4);
        received.Should().Equal("pong"u8.ToArray());
        peer.Dispose();

        (await connection.ReceiveAsync(received)).Should().Be(0);
        connection.Peer.Should().BeNull();
    }

    [Test]
    public async Task Reset_CallIsPending_EndsItAndTheOtherSide()
    {
        using var listener = Listen();
        using var connection = await OpenAsync();
        using var peer = new RawPeer(await listener.AcceptAsync());
        var pending = connection.ReceiveAsync(new byte[1]).AsTask();

        connection.Reset();

        await ((Task)pending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        (await peer.ReadToItsEndAsync()).Text.Should().BeEmpty();
    }

    [Test]
    public async Task Open_NoFile_SaysSo()
    {
        var failure = (await FluentActions.Awaiting(OpenAsync).Should().ThrowAsync<SocketException>()).Which;

        failure.SocketErrorCode.Should().Be(SocketError.ConnectionRefused);
        FailureReason.Of(failure).Should().Be("no such socket");
        FailureReason.IsLocal(failure).Should().BeFalse();
    }

    [Test]
    public async Task Open_NobodyListensAnyMore_IsRefused()
    {
        var listener = Listen();
        File.Move(_address.Host, _address.Host + ".kept"); // The framework deletes it at the path where it was bound.
        listener.Dispose();
        File.Move(_address.Host + ".kept", _address.Host);

        var failure = (await FluentActions.Awaiting(OpenAsync).Should().ThrowAsync<SocketException>()).Which;

        FailureReason.Of(failure).Should().Be("connection refused");
    }

    [Test]
    [Platform("Linux")]
    public async Task Open_QueueIsFull_WaitsForRoom()
    {
        using var listener = Listen(backlog: 0);
        using var first = await OpenAsync();
        var second = OpenAsync();
        second.IsCompleted.Should().BeFalse();

        using var accepted = await listener.AcceptAsync();

        using var connection = await second;
        using var last = await listener.AcceptAsync();
    }

    [Test]
    [Platform("Linux")]
    public async Task Open_QueueStaysFull_EndsWhenCancelled()
    {
        using var listener = Listen(backlog: 0);
        using var first = await OpenAsync();
        using var end = new CancellationTokenSource();
        var second = OpenAsync(end.Token);

        await end.CancelAsync();

        await FluentActions.Awaiting(() => second).Should().ThrowAsync<OperationCanceledException>();
    }

    [Test]
    [Platform("Linux")]
    public async Task Open_NameWithoutFile_Connects()
    {
        var name = Path.GetFileName(Path.GetDirectoryName(_address.Host));
        _address = _address with { Host = "@" + name };
        using var listener = Listen();

        using var connection = await OpenAsync();

        using var accepted = await listener.AcceptAsync();
    }

    private Socket Listen(int backlog = 16)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(_address.UnixEndPoint);
        listener.Listen(backlog);
        return listener;
    }

    private Task<ISocketConnection> OpenAsync() => OpenAsync(CancellationToken.None);

    private Task<ISocketConnection> OpenAsync(CancellationToken cancellationToken) =>
        Connector.OpenAsync(transport == Transports.Epoll, _address, null, cancellationToken);
}
