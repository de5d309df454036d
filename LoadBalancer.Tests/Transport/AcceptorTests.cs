using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport;

/// <summary>What every listener but Kestrel's accepts its connections with.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcceptorTests : IDisposable
{
    private readonly ConcurrentQueue<AcceptedConnection> _accepted = new();
    private Acceptor? _acceptor;

    public void Dispose()
    {
        _acceptor?.Dispose();
        foreach (var connection in _accepted)
        {
            connection.Connection.Dispose();
        }
    }

    [Test]
    public async Task Accept_Always_KnowsBothEndsAndCarriesBytes()
    {
        using var client = await ConnectAsync(Start());

        var connection = await TakeAsync();

        connection.Local.Should().Be(client.RemoteEndPoint);
        connection.Remote.Should().Be(client.LocalEndPoint);
        await connection.Connection.SendAsync("hello"u8.ToArray());
        (await client.ReceiveAsync(new byte[16])).Should().Be(5);
        await client.SendAsync("hi"u8.ToArray());
        (await connection.Connection.ReceiveAsync(new byte[16])).Should().Be(2);
    }

    [Test]
    public async Task Accept_AnyAddress_IsReachedByBothFamilies()
    {
        var port = Start("*").Port;

        using var four = await ConnectAsync(new EndpointAddress("tcp", "127.0.0.1", port));
        using var six = await ConnectAsync(new EndpointAddress("tcp", "::1", port));

        ((IPEndPoint)(await TakeAsync()).Local).Address.IsIPv4MappedToIPv6.Should().BeTrue();
        ((IPEndPoint)(await TakeAsync()).Local).Address.Should().Be(IPAddress.IPv6Loopback);
    }

    [Test]
    public async Task Accept_Localhost_IsBothLoopbackAddresses()
    {
        var port = Start("localhost", ReservedPorts.Next()).Port;

        using var four = await ConnectAsync(new EndpointAddress("tcp", "127.0.0.1", port));
        using var six = await ConnectAsync(new EndpointAddress("tcp", "::1", port));

        await TakeAsync();
        await TakeAsync();
    }

    [Test]
    public async Task Dispose_ConnectionsWaitInTheQueue_AreAccepted()
    {
        const int Count = 200;
        var sockets = new ListenSockets();
        var address = new EndpointAddress("tcp", "127.0.0.1", ReservedPorts.Next());
        sockets.Reserve(address);
        var clients = new List<Socket>();
        try
        {
            for (var i = 0; i < Count; i++)
            {
                clients.Add(await ConnectAsync(address)); // The socket listens, and nobody accepts.
            }
            _acceptor = new Acceptor(
                "first", address, null, _accepted.Enqueue, sockets, TimeProvider.System, NullLoggerFactory.Instance);

            _acceptor.Start();
            _acceptor.Dispose();

            await Eventually.BeTrueAsync(() => _accepted.Count == Count, "none is reset");
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    [Test]
    public void Start_PortIsTaken_SaysSo()
    {
        var taken = Start();
        taken.ToString().Should().Be($"tcp://127.0.0.1:{taken.Port}").And.NotEndWith(":0");
        using var other = new Acceptor(
            "second", taken, null, _ => { }, new ListenSockets(), TimeProvider.System, NullLoggerFactory.Instance);

        other.Invoking(acceptor => acceptor.Start())
            .Should().Throw<StartException>().WithMessage(
            $"listener 'second': cannot listen on {taken}: the port is taken by another program");
    }

    [Test]
    public async Task MaxConnections_Surplus_IsClosedAtOnceAndCounted()
    {
        var address = Start(most: 1);
        using var first = await ConnectAsync(address);
        var connection = await TakeAsync();

        using var second = await ConnectAsync(address);

        (await second.ReceiveAsync(new byte[1])).Should().Be(0);
        _acceptor!.Refused.Should().Be(1);
        connection.Connection.Dispose();
        using var third = await ConnectAsync(address);
        await TakeAsync();
    }

    [Test]
    public async Task Dispose_Always_RefusesNewConnectionsAndKeepsTheOthers()
    {
        var address = Start();
        using var client = await ConnectAsync(address);
        var connection = await TakeAsync();

        _acceptor!.Dispose();

        await FluentActions.Awaiting(() => ConnectAsync(address)).Should().ThrowAsync<SocketException>();
        await connection.Connection.SendAsync("still here"u8.ToArray());
        (await client.ReceiveAsync(new byte[16])).Should().Be(10);
    }

    [Test]
    public async Task EndSending_Always_IsTheEndForTheClientAloneInOneDirection()
    {
        using var client = await ConnectAsync(Start());
        using var connection = (await TakeAsync()).Connection;

        await connection.EndSendingAsync();

        (await client.ReceiveAsync(new byte[1])).Should().Be(0);
        await client.SendAsync("x"u8.ToArray());
        (await connection.ReceiveAsync(default)).Should().Be(0, "with no memory it only waits");
        (await connection.ReceiveAsync(new byte[16])).Should().Be(1);
    }

    [Test]
    public async Task Reset_Wire_IsAResetForTheClient()
    {
        using var client = await ConnectAsync(Start());
        using var connection = (await TakeAsync()).Connection;
        var receiving = connection.ReceiveAsync(default).AsTask();

        connection.Reset();

        await FluentActions.Awaiting(() => client.ReceiveAsync(new byte[1])).Should().ThrowAsync<SocketException>();
        await ((Task)receiving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await FluentActions.Awaiting(() => connection.ReceiveAsync(new byte[1]).AsTask()).Should().ThrowAsync<Exception>();
    }

    private static async Task<Socket> ConnectAsync(EndpointAddress address)
    {
        var ip = IPAddress.Parse(address.Host);
        var client = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(ip, address.Port);
        return client;
    }

    private EndpointAddress Start(string host = "127.0.0.1", int port = 0, int? most = null)
    {
        _acceptor = new Acceptor(
            "first", new EndpointAddress("tcp", host, port), most, _accepted.Enqueue, new ListenSockets(), TimeProvider.System,
            NullLoggerFactory.Instance);
        _acceptor.Start();
        return _acceptor.Address;
    }

    private async Task<AcceptedConnection> TakeAsync()
    {
        AcceptedConnection taken = default;
        await Eventually.BeTrueAsync(() => _accepted.TryDequeue(out taken), "a client has connected");
        return taken;
    }
}
