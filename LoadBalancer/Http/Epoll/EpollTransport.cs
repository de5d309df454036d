using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Epoll;

/// <summary>Lets Kestrel listen on sockets of the event loops.</summary>
/// <param name="createListenSocket">Makes a bound socket.</param>
/// <param name="backlog">How many connections may wait to be accepted.</param>
[SupportedOSPlatform("linux")]
internal sealed class EpollTransport(Func<EndPoint, Socket> createListenSocket, int backlog) : IConnectionListenerFactory
{
    /// <inheritdoc/>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        try
        {
            using var socket = createListenSocket(endpoint);
            socket.NoDelay = true; // accepted sockets inherit it
            socket.Blocking = false;
            socket.Listen(backlog);
            var file = Libc.Control(socket.SafeHandle, Libc.Duplicate, 0); // The framework does not let go of its own.
            return new(file >= 0 ? new EpollListener(file, (IPEndPoint)socket.LocalEndPoint!) : throw Libc.LastError());
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new AddressInUseException(e.Message, e);
        }
    }
}

/// <summary>Accepts connections and deals them out to the event loops in turn.</summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollListener(int file, IPEndPoint address) : EpollSocket(file, EventLoop.Next()), IConnectionListener
{
    private const int AddressSize = 28; // struct sockaddr_in6

    // Where there is no file left, or no memory, somebody must free some first.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly Readiness _arrival = new();
    private readonly CancellationTokenSource _unbound = new();

    /// <inheritdoc/>
    public EndPoint EndPoint => address;

    /// <inheritdoc/>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            while (true)
            {
                await _arrival.WaitAsync(TryAwaitReadable);
                if (TryAccept(out var error) is { } connection)
                {
                    return connection;
                }
                if (error is not (Libc.Again or Libc.ConnectionAborted))
                {
                    await Task.Delay(Patience, TimeProvider.System, _unbound.Token);
                }
            }
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        Dispose();
        await _unbound.CancelAsync();
        if (TryClaimReadable())
        {
            OnReadable();
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => UnbindAsync();

    /// <inheritdoc/>
    protected override void OnReadable() => _arrival.Set();

    /// <inheritdoc/>
    protected override void OnWritable()
    {
    }

    private unsafe ClientConnection? TryAccept(out int error)
    {
        error = Libc.Again;
        if (!TryBeginReading())
        {
            return null;
        }
        var remote = new SocketAddress(address.AddressFamily, AddressSize);
        var length = remote.Size;
        int accepted;
        fixed (byte* name = remote.Buffer.Span)
        {
            accepted = Libc.Accept(this, name, &length, Libc.NonBlocking | Libc.CloseOnExec);
        }
        if (accepted < 0)
        {
            error = Marshal.GetLastPInvokeError();
            if (error != Libc.Again)
            {
                ReadOn();
            }
            return null;
        }
        ReadOn();
        remote.Size = length;
        return new ClientConnection(accepted, EventLoop.Next(), LocalAddress(accepted), address.Create(remote));
    }

    private unsafe EndPoint LocalAddress(int accepted)
    {
        if (!address.Address.Equals(IPAddress.Any) && !address.Address.Equals(IPAddress.IPv6Any))
        {
            return address;
        }
        var local = new SocketAddress(address.AddressFamily, AddressSize);
        var length = local.Size;
        fixed (byte* name = local.Buffer.Span)
        {
            _ = Libc.LocalName(accepted, name, &length); // It is bound, and the room is enough.
        }
        local.Size = length;
        return address.Create(local);
    }
}
