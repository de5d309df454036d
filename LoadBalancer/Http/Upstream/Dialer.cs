using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>Opens connections to one backend, and on https:// makes sure that it is the right one.</summary>
internal sealed class Dialer(EndpointAddress address, PoolOptions options, TimeProvider time)
{
    /// <summary>What to offer for a request that HTTP/2 cannot carry.</summary>
    public static readonly List<SslApplicationProtocol> Http1Only = [SslApplicationProtocol.Http11];

    /// <summary>What to offer for any other.</summary>
    public static readonly List<SslApplicationProtocol> AnyHttp = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11];

    private readonly bool _isTls = address.Scheme == "https";

    /// <summary>Opens a connection within <see cref="TimeoutOptions.Connect"/>, the TLS handshake included.</summary>
    /// <param name="protocols">What to offer where TLS negotiates (ALPN).</param>
    /// <param name="cancellationToken">Cancelled when nobody waits for it any longer.</param>
    /// <returns>The socket, and the TLS stream over it where the backend's address says https.</returns>
    /// <exception cref="ForwardException">It could not be opened, or not in time.</exception>
    public async Task<(Socket Socket, SslStream? Tls)> OpenAsync(List<SslApplicationProtocol> protocols, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(options.Timeouts.Connect, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        Socket? socket = null;
        try
        {
            socket = await ConnectAsync(either.Token);
            return (socket, _isTls ? await HandshakeAsync(socket, protocols, either.Token) : null);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or AuthenticationException or CryptographicException or IOException)
        {
            socket?.Dispose();
            throw cancellationToken.IsCancellationRequested ? new ForwardException(ForwardError.ClientGone, "the client went away")
                : deadline.IsCancellationRequested ? new ForwardException(ForwardError.ConnectTimeout, $"no connection within {options.Timeouts.Connect.TotalSeconds} s")
                : FailureReason.IsLocal(e) ? new ForwardException(ForwardError.Exhausted, FailureReason.Of(e))
                : e is AuthenticationException ? new ForwardException(ForwardError.Tls, "TLS: " + e.Message)
                : new ForwardException(ForwardError.Connect, FailureReason.Of(e));
        }
    }

    private async Task<Socket> ConnectAsync(CancellationToken cancellationToken)
    {
        var isAddress = IPAddress.TryParse(address.Host, out var ip);
        var socket = isAddress ? new Socket(ip!.AddressFamily, SocketType.Stream, ProtocolType.Tcp) : new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.NoDelay = true;
            await (isAddress
                ? socket.ConnectAsync(new IPEndPoint(ip!, address.Port), cancellationToken)
                : socket.ConnectAsync(address.Host, address.Port, cancellationToken));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task<SslStream> HandshakeAsync(Socket socket, List<SslApplicationProtocol> protocols, CancellationToken cancellationToken)
    {
        var tls = new SslStream(new NetworkStream(socket, ownsSocket: true));
        try
        {
            var client = options.Tls.ForHost(address.Host);
            client.ApplicationProtocols = protocols;
            await tls.AuthenticateAsClientAsync(client, cancellationToken);
            return tls;
        }
        catch
        {
            await tls.DisposeAsync();
            throw;
        }
    }
}
