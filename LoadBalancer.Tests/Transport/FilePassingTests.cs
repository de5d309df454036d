using System.Net;
using System.Net.Sockets;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>Sockets that travel over another socket.</summary>
[Platform("Linux")]
internal sealed class FilePassingTests
{
    [TestCase(0)]
    [TestCase(1)]
    [TestCase(FilePassing.MostFiles)]
    [TestCase(FilePassing.MostFiles + 1)]
    [TestCase(2 * FilePassing.MostFiles + 50)]
    public void Send_SoManySockets_AllArriveInTheirOrder(int count)
    {
        var (ours, theirs) = FilePassing.NewPair();
        using var sender = ours;
        using var receiver = new Socket(theirs);
        List<Socket> sockets = [.. Enumerable.Range(0, count).Select(_ => Bound())];

        FilePassing.Send(sender, sockets);
        List<Socket> received = [.. FilePassing.Receive(receiver).Select(file => new Socket(file))];

        received.Select(socket => socket.LocalEndPoint).Should().Equal(sockets.Select(socket => socket.LocalEndPoint));
        sockets.Concat(received).ToList().ForEach(socket => socket.Dispose());
    }

    [Test]
    public async Task Receive_ListeningSocket_AcceptsWhoConnectedBefore()
    {
        var (ours, theirs) = FilePassing.NewPair();
        using var sender = ours;
        using var receiver = new Socket(theirs);
        using var listening = Bound();
        listening.Listen();
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(listening.LocalEndPoint!);

        FilePassing.Send(sender, [listening]);
        using var taken = new Socket(FilePassing.Receive(receiver).Single());
        new ListenSocket(listening).Dispose();

        using var accepted = await taken.AcceptAsync();
        accepted.RemoteEndPoint.Should().Be(client.LocalEndPoint);
    }

    [Test]
    public void Receive_OtherSideIsGone_Throws()
    {
        var (ours, theirs) = FilePassing.NewPair();
        using var receiver = new Socket(theirs);
        ours.Dispose();

        FluentActions.Invoking(() => FilePassing.Receive(receiver)).Should().Throw<SocketException>();
    }

    private static Socket Bound()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return socket;
    }
}
