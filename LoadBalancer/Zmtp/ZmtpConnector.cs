using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;
using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>Keeps a socket connected to an address: if connecting fails it tries again, at growing intervals.</summary>
internal sealed class ZmtpConnector : IAsyncDisposable
{
    private readonly ZmtpSocket _socket;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _connecting;
    private ZmtpPeer? _peer;

    /// <summary>Starts connecting.</summary>
    public ZmtpConnector(ZmtpSocket socket, EndPoint address)
    {
        (_socket, Address) = (socket, address);
        _connecting = ConnectAsync();
    }

    /// <summary>The address that it connects to.</summary>
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
            if (await DialAsync() is { } connection && _socket.Attach(connection, Address) is { } peer)
            {
                Volatile.Write(ref _peer, peer);
                if (_stop.IsCancellationRequested)
                {
                    peer.Close();
                }
                await peer.Ended;
                delay = peer.IsEstablished ? limits.FirstReconnectDelay : delay;
            }
            // Up to 50 % longer, so that clients of the same failed server do not all reconnect at once.
            await Task.Delay(delay * (1 + Random.Shared.NextDouble() / 2), _socket.Time, _stop.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            delay = delay * 2 < limits.LongestReconnectDelay ? delay * 2 : limits.LongestReconnectDelay;
        }
    }

    private async Task<ISocketConnection?> DialAsync()
    {
        using var timeout = new CancellationTokenSource(_socket.Limits.HandshakeTimeout, _socket.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
        try
        {
            return await Connector.OpenAsync(Convert(Address), null, either.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return null;
        }
    }

    private static EndpointAddress Convert(EndPoint address) => address switch
    {
        IPEndPoint ip => new EndpointAddress("tcp", ip.Address.ToString(), ip.Port),
        DnsEndPoint name => new EndpointAddress("tcp", name.Host, name.Port),
        _ => throw new ArgumentException($"{address} is neither an IP address nor a name", nameof(address)),
    };
}
