using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Zmtp;

/// <summary>Keeps a socket connected to an address: where there is nobody it tries again, at growing intervals.</summary>
internal sealed class ZmtpConnector : IAsyncDisposable
{
    private readonly ZmtpSocket _socket;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _connecting;
    private ZmtpPeer? _peer;

    /// <summary>Begins.</summary>
    public ZmtpConnector(ZmtpSocket socket, EndPoint address)
    {
        (_socket, Address) = (socket, address);
        _connecting = ConnectAsync();
    }

    /// <summary>Where to.</summary>
    public EndPoint Address { get; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        Volatile.Read(ref _peer)?.Close();
        await _connecting;
        _stop.Dispose();
    }

    private async Task ConnectAsync()
    {
        var limits = _socket.Limits;
        var delay = limits.FirstReconnectDelay;
        while (!_stop.IsCancellationRequested)
        {
            if (await DialAsync() is { } socket && _socket.Attach(socket, Address) is { } peer)
            {
                Volatile.Write(ref _peer, peer);
                if (_stop.IsCancellationRequested)
                {
                    peer.Close();
                }
                await peer.Ended;
                delay = peer.IsEstablished ? limits.FirstReconnectDelay : delay;
            }
            // Up to half as long again, so that those who lost the same server do not all come back at once.
            await Task.Delay(delay * (1 + Random.Shared.NextDouble() / 2), _socket.Time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            delay = delay * 2 < limits.LongestReconnectDelay ? delay * 2 : limits.LongestReconnectDelay;
        }
    }

    private async Task<Socket?> DialAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var timeout = new CancellationTokenSource(_socket.Limits.HandshakeTimeout, _socket.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
        try
        {
            await socket.ConnectAsync(Address, either.Token);
            return socket;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            socket.Dispose();
            return null;
        }
    }
}
