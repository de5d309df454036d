using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>
/// Checks the certificates of the https:// backends of one pool, for requests and for probes. It looks at the file of authorities every
/// two seconds. What has changed is used for the connections that come after; of a file that cannot be used (it may be half written)
/// there is one warning, and the old authorities stay.
/// </summary>
public sealed partial class BackendTrust : IDisposable
{
    /// <summary>What to offer for negotiation (ALPN) for a request that HTTP/2 cannot carry.</summary>
    public static readonly List<SslApplicationProtocol> Http1Only = [SslApplicationProtocol.Http11];

    /// <summary>What to offer for any other.</summary>
    public static readonly List<SslApplicationProtocol> AnyHttp = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11];

    /// <summary>What to offer for a request that only HTTP/2 can carry.</summary>
    public static readonly List<SslApplicationProtocol> Http2Only = [SslApplicationProtocol.Http2];

    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);

    private readonly string _pool;
    private readonly BackendTlsOptions _options;
    private readonly ILogger _logger;
    private readonly ITimer? _poll;
    private string? _read;
    private volatile X509Certificate2Collection? _authorities; // null: the system's

    /// <summary>
    /// Reads the authorities, and watches their file until disposed. Where it cannot be used at the start no backend is trusted.
    /// </summary>
    public BackendTrust(string pool, BackendTlsOptions options, TimeProvider time, ILogger<BackendTrust> logger)
    {
        (_pool, _options, _logger) = (pool, options, logger);
        if (options is { Verify: true, AuthorityFile: not null })
        {
            _authorities = [];
            TakeUpChange(isFirst: true);
            _poll = time.CreateTimer(_ => TakeUpChange(isFirst: false), null, PollInterval, PollInterval);
        }
    }

    /// <summary>The logger for what works in the background on its connections.</summary>
    internal ILogger Logger => _logger;

    /// <summary>Begins TLS on a connection to a backend, and checks its certificate.</summary>
    /// <param name="socket">The connection; it belongs to the stream from now on, or is closed where TLS fails.</param>
    /// <param name="host">The host of the backend's address.</param>
    /// <param name="protocols">What to offer for negotiation.</param>
    /// <param name="cancellationToken">Cancelled when the connection is not needed any more.</param>
    /// <exception cref="AuthenticationException">The certificate is not trusted, or the backend speaks no TLS.</exception>
    public async Task<BackendTlsStream> HandshakeAsync(
        Socket socket, string host, List<SslApplicationProtocol> protocols, CancellationToken cancellationToken)
    {
        var tls = BackendTlsStream.Over(socket);
        try
        {
            await tls.AuthenticateAsClientAsync(ForHost(host, protocols), cancellationToken);
            return tls;
        }
        catch
        {
            await tls.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _poll?.Dispose();

    private SslClientAuthenticationOptions ForHost(string host, List<SslApplicationProtocol> protocols)
    {
        var client = new SslClientAuthenticationOptions
        {
            TargetHost = Ascii(_options.ServerName ?? host),
            ApplicationProtocols = protocols,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            CertificateChainPolicy = new X509ChainPolicy
            {
                RevocationMode = X509RevocationMode.NoCheck,
                // Otherwise an issuer that the backend does not send is fetched from wherever its certificate says, by the thread of the
                // handshake, even if nothing is verified.
                DisableCertificateDownloads = true,
            },
        };
        if (!_options.Verify)
        {
#pragma warning disable CA5359 // It is what the configuration says.
            client.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
        }
        else if (_authorities is { } authorities)
        {
            client.CertificateChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            client.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
        }
        return client;
    }

    // Certificates have international names in A-labels (RFC 5280 section 7.2), and are compared with the name as it is.
    private static string Ascii(string name)
    {
        try
        {
            return System.Text.Ascii.IsValid(name) ? name : new IdnMapping().GetAscii(name);
        }
        catch (ArgumentException)
        {
            return name; // No certificate has it.
        }
    }

    // Compares the text, as CertificateStore does. A text that is wrong is remembered too, so that it is logged only once.
    private void TakeUpChange(bool isFirst)
    {
        var file = _options.AuthorityFile!;
        try
        {
            var text = PemCertificate.TryRead(file);
            if (text == _read && !isFirst)
            {
                return;
            }
            _read = text;
            _authorities = PemCertificate.ReadAuthorities(text ?? throw new IOException("it cannot be read"));
            if (!isFirst)
            {
                LogTakenUp(_pool, file);
            }
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            LogCannotBeUsed(_pool, file, e.Message);
        }
    }

    [LoggerMessage(45, LogLevel.Information, "pool '{Pool}': the authorities in '{File}' were taken up")]
    private partial void LogTakenUp(string pool, string file);

    [LoggerMessage(46, LogLevel.Warning,
        "pool '{Pool}': the authorities in '{File}' have changed and cannot be used, the old ones stay: {Reason}")]
    private partial void LogCannotBeUsed(string pool, string file, string reason);
}
