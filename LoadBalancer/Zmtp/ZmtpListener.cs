using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Zmtp;

/// <summary>Accepts connections for a socket.</summary>
internal sealed class ZmtpListener : IAsyncDisposable
{
    // Where there is no file left, or no memory, somebody must free some first.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly ZmtpSocket _socket;
    private readonly Socket _listener;
    private readonly Task _accepting;
    private volatile bool _isDisposed;

    /// <summary>Listens there.</summary>
    /// <exception cref="SocketException">The port is taken, or the address is not ours.</exception>
    public ZmtpListener(ZmtpSocket socket, IPEndPoint address)
    {
        _socket = socket;
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            _listener.Bind(address);
            _listener.Listen(512);
        }
        catch
        {
            _listener.Dispose();
            throw;
        }
        Address = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address { get; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _isDisposed = true;
        _listener.Dispose();
        await _accepting;
    }

    private async Task AcceptAsync()
    {
        while (!_isDisposed)
        {
            try
            {
                Attach(await _listener.AcceptAsync());
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_isDisposed && e is SocketException { SocketErrorCode: not (SocketError.ConnectionReset or SocketError.ConnectionAborted) })
                {
                    await Task.Delay(Patience, _socket.Time);
                }
            }
        }
    }

    private void Attach(Socket accepted)
    {
        try
        {
            accepted.NoDelay = true;
            _socket.Attach(accepted, accepted.RemoteEndPoint);
        }
        catch (SocketException)
        {
            accepted.Dispose(); // It was reset before we could look at it.
        }
    }
}
