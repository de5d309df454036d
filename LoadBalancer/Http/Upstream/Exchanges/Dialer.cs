using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>Opens connections to one backend, with TLS and a check of its certificate for https://.</summary>
internal sealed class Dialer(Backend backend, PoolOptions options, BackendTrust trust, TimeProvider time)
{
    /// <summary>Opens a connection without TLS.</summary>
    /// <param name="cancellationToken">Cancelled when the connection is no longer needed.</param>
    /// <exception cref="ForwardException">It could not be opened, or not within <see cref="TimeoutOptions.Connect"/>.</exception>
    public Task<IReusableConnection> OpenAsync(CancellationToken cancellationToken) =>
        InTimeAsync<IReusableConnection>(
            async token => await Connector.OpenAsync(backend.Address, backend.Hosts, token), cancellationToken);

    /// <summary>Opens a connection with TLS.</summary>
    /// <param name="protocols">What to offer for negotiation (ALPN).</param>
    /// <param name="cancellationToken">Cancelled when the connection is no longer needed.</param>
    /// <exception cref="ForwardException">
    /// It could not be opened, or the backend's certificate is not trusted, or not within <see cref="TimeoutOptions.Connect"/>.
    /// </exception>
    public Task<TlsConnection> OpenTlsAsync(List<SslApplicationProtocol> protocols, CancellationToken cancellationToken)
    {
        async Task<TlsConnection> OpenAsync(CancellationToken token)
        {
            var socket = await Connector.OpenSocketAsync(backend.Address, backend.Hosts, token);
            return new(socket, await trust.HandshakeAsync(socket, backend.HostName, protocols, token), trust.Logger);
        }
        return InTimeAsync(OpenAsync, cancellationToken);
    }

    private async Task<T> InTimeAsync<T>(Func<CancellationToken, Task<T>> openAsync, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(options.Timeouts.Connect, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await openAsync(either.Token);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or AuthenticationException
            or CryptographicException or IOException)
        {
            var seconds = options.Timeouts.Connect.TotalSeconds;
            throw cancellationToken.IsCancellationRequested ? new ForwardException(ForwardError.ClientGone, "the client went away")
                : deadline.IsCancellationRequested ? new ForwardException(ForwardError.ConnectTimeout, $"no connection within {seconds} s")
                : FailureReason.IsLocal(e) ? new ForwardException(ForwardError.Exhausted, FailureReason.Of(e))
                : FailureReason.IsUnresolved(e) ? new ForwardException(ForwardError.Dns, FailureReason.Of(e))
                : e is AuthenticationException ? new ForwardException(ForwardError.Tls, "TLS: " + e.Message)
                : new ForwardException(ForwardError.Connect, FailureReason.Of(e));
        }
    }
}
