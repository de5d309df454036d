using System.Net.Security;
using System.Security.Authentication;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>
/// Which versions and cipher suites a listener speaks, and what inside TLS. The framework keeps a context of OpenSSL, and with it the key
/// for resuming sessions, only for options without a policy for cipher suites; with one it makes a new context for each handshake. So
/// clients that offer TLS 1.3 get options without a policy wherever all suites of TLS 1.3 are allowed, for that version alone.
/// </summary>
internal sealed class TlsSettings
{
    private readonly List<SslApplicationProtocol> _protocols;
    private readonly SslProtocols _versions;
    private readonly CipherSuitesPolicy? _policy;
    private readonly bool _hasAllOfTls13;
    private readonly ClientTrust? _clients;

    /// <summary>Makes the settings; the options must be valid.</summary>
    /// <param name="options">The listener's options.</param>
    /// <param name="protocols">What clients can negotiate (ALPN); empty: nothing.</param>
    /// <param name="clients">Checks their certificates; null where they are not asked for one.</param>
    public TlsSettings(ITlsOptions options, List<SslApplicationProtocol> protocols, ClientTrust? clients)
    {
        (_protocols, _clients) = (protocols, clients);
        var suites = CipherSuites.Of(options.Ciphers);
        var hasTls12 = options.MinProtocol == TlsVersion.Tls12
            && (options.Ciphers.Count == 0 || suites.Any(suite => !CipherSuites.Tls13.Contains(suite)));
        _versions = hasTls12 ? SslProtocols.Tls12 | SslProtocols.Tls13 : SslProtocols.Tls13;
        _hasAllOfTls13 = CipherSuites.Tls13.All(suites.Contains);
        var isRestricted = options.Ciphers.Count > 0 && (hasTls12 || !_hasAllOfTls13);
        _policy = isRestricted && !OperatingSystem.IsWindows() && !OperatingSystem.IsAndroid() ? new CipherSuitesPolicy(suites) : null;
    }

    /// <summary>The options for a certificate, for clients that offer TLS 1.3 or for others.</summary>
    public SslServerAuthenticationOptions For(SslStreamCertificateContext certificate, bool isTls13)
    {
        var isTls13Alone = isTls13 && _policy is not null && _hasAllOfTls13;
        var handshake = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = certificate,
            EnabledSslProtocols = isTls13Alone ? SslProtocols.Tls13 : _versions,
            CipherSuitesPolicy = isTls13Alone ? null : _policy,
            ApplicationProtocols = _protocols,
        };
        _clients?.ApplyTo(handshake);
        return handshake;
    }
}
