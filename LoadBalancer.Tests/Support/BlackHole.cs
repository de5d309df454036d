using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// An address at which a connect neither succeeds nor fails. A socket listens there but accepts no connection, and the only place in
/// its queue is taken. Linux drops further connection requests.
/// </summary>
internal sealed class BlackHole : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Socket _first = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public BlackHole()
    {
        var endPoint = new IPEndPoint(IPAddress.Loopback, ReservedPorts.Next());
        _listener.Bind(endPoint);
        _listener.Listen(0);
        _first.Connect(endPoint);
        Port = endPoint.Port;
    }

    public int Port { get; }

    public string Address => $"http://127.0.0.1:{Port}";

    public void Dispose()
    {
        _first.Dispose();
        _listener.Dispose();
    }
}
