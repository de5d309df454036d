using System.Net.Security;
using System.Security.Authentication;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tls;

namespace LoadBalancer.Tests.Support;

/// <summary>A server that speaks TLS, and inside it whatever a test wants.</summary>
internal sealed class TlsServer : IAsyncDisposable
{
    private readonly RawServer _server;

    /// <summary>Starts to listen.</summary>
    /// <param name="certificate">Its certificate, with those of its issuers.</param>
    /// <param name="serve">Serves a connection after its handshake.</param>
    /// <param name="protocols">The versions of TLS that it speaks.</param>
    public TlsServer(CertificateOptions certificate, Func<TlsServerPeer, Task> serve, SslProtocols protocols = SslProtocols.None)
    {
        var context = ServerCertificate.Read(certificate);
        _server = new RawServer(async (peer, _) =>
        {
            var connection = new TlsServerPeer(peer);
            try
            {
                await connection.Stream.AuthenticateAsServerAsync(
                    new SslServerAuthenticationOptions { ServerCertificateContext = context, EnabledSslProtocols = protocols });
                await serve(connection);
            }
            catch (Exception e) when (e is IOException or AuthenticationException)
            {
                // The client has gone, or does not believe it.
            }
        });
    }

    public int Port => _server.Port;

    public string Address => $"https://127.0.0.1:{Port}";

    public ValueTask DisposeAsync() => _server.DisposeAsync();
}
