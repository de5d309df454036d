using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Tls;

/// <summary>
/// The certificates of one listener. Looks at their files every two seconds and takes up what has changed, for the connections that
/// come after; a pair that does not fit (it is being replaced at this moment, perhaps) is told once and the old one stays.
/// </summary>
public sealed partial class CertificateStore : IDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);

    private readonly string _listener;
    private readonly IReadOnlyList<CertificateOptions> _files;
    private readonly (string? Certificate, string? Key)[] _read;
    private readonly SslStreamCertificateContext[] _contexts;
    private readonly List<SslApplicationProtocol> _protocols;
    private readonly ILogger _logger;
    private readonly ITimer _poll;
    private volatile CertificateSelector _selector;

    /// <summary>Reads the certificates, and watches their files until disposed.</summary>
    /// <param name="listener">The listener's name.</param>
    /// <param name="files">Where they are.</param>
    /// <param name="protocols">What clients can negotiate (ALPN); nothing: they cannot.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told of changes.</param>
    /// <exception cref="StartException">One of them cannot be read.</exception>
    public CertificateStore(string listener, IReadOnlyList<CertificateOptions> files, List<SslApplicationProtocol> protocols, TimeProvider time, ILogger<CertificateStore> logger)
    {
        (_listener, _files, _protocols, _logger) = (listener, files, protocols, logger);
        _read = new (string?, string?)[files.Count];
        _contexts = new SslStreamCertificateContext[files.Count];
        for (var i = 0; i < files.Count; i++)
        {
            try
            {
                ReadIfChanged(i);
            }
            catch (Exception e) when (PemCertificate.IsFault(e))
            {
                throw new StartException($"listener '{listener}': the certificate '{files[i].File}' cannot be used: {e.Message}", e);
            }
        }
        _selector = new CertificateSelector(_contexts, _protocols);
        _poll = time.CreateTimer(_ => TakeUpChanges(), null, PollInterval, PollInterval);
    }

    /// <summary>What to answer to a client that asks for this name (SNI), or for none.</summary>
    public SslServerAuthenticationOptions Select(string? serverName) => _selector.Select(serverName);

    /// <inheritdoc/>
    public void Dispose() => _poll.Dispose();

    private void TakeUpChanges()
    {
        var changed = false;
        for (var i = 0; i < _files.Count; i++)
        {
            try
            {
                if (ReadIfChanged(i))
                {
                    LogTakenUp(_listener, _files[i].File!, _contexts[i].TargetCertificate.NotAfter.ToUniversalTime());
                    changed = true;
                }
            }
            catch (Exception e) when (PemCertificate.IsFault(e))
            {
                LogCannotBeUsed(_listener, _files[i].File!, e.Message);
            }
        }
        if (changed)
        {
            _selector = new CertificateSelector(_contexts, _protocols);
        }
    }

    // Compares the text, not the time of the file: a link that now points elsewhere is a change, a touch is none. What is wrong is
    // remembered too, so that it is not told again every two seconds.
    private bool ReadIfChanged(int i)
    {
        var text = (PemCertificate.TryRead(_files[i].File!), _files[i].KeyFile is { } key ? PemCertificate.TryRead(key) : null);
        if (text == _read[i] && _contexts[i] is not null)
        {
            return false;
        }
        _read[i] = text;
        _contexts[i] = PemCertificate.Read(_files[i]);
        return true;
    }

    [LoggerMessage(40, LogLevel.Information, "listener '{Listener}': certificate '{File}' was taken up; it is valid until {NotAfter:yyyy-MM-dd HH:mm:ss}Z")]
    private partial void LogTakenUp(string listener, string file, DateTime notAfter);

    [LoggerMessage(41, LogLevel.Warning, "listener '{Listener}': certificate '{File}' has changed and cannot be used, the old one stays: {Reason}")]
    private partial void LogCannotBeUsed(string listener, string file, string reason);
}

/// <summary>
/// Chooses a certificate by the name that a client asks for: one that bears it, else one with a wildcard for it, else the first.
/// A wildcard covers one label (RFC 6125 section 6.4.3): *.example.com is a.example.com, not a.b.example.com. Immutable.
/// </summary>
internal sealed class CertificateSelector
{
    private readonly SslServerAuthenticationOptions _default;
    private readonly Dictionary<string, SslServerAuthenticationOptions> _byName = new(StringComparer.OrdinalIgnoreCase);

    public CertificateSelector(IReadOnlyList<SslStreamCertificateContext> certificates, List<SslApplicationProtocol> protocols)
    {
        // One object for each certificate, not for each handshake: it carries the cache for resuming sessions.
        var options = certificates.Select(certificate => new SslServerAuthenticationOptions
        {
            ServerCertificateContext = certificate,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ApplicationProtocols = protocols,
        }).ToList();
        _default = options[0];
        foreach (var (certificate, answer) in certificates.Zip(options))
        {
            foreach (var name in Names(certificate.TargetCertificate))
            {
                _byName.TryAdd(name, answer); // The first that bears a name has it.
            }
        }
    }

    public SslServerAuthenticationOptions Select(string? serverName)
    {
        if (string.IsNullOrEmpty(serverName))
        {
            return _default;
        }
        var dot = serverName.IndexOf('.', StringComparison.Ordinal);
        return _byName.TryGetValue(serverName, out var exact) ? exact
            : dot > 0 && _byName.TryGetValue("*" + serverName[dot..], out var wildcard) ? wildcard
            : _default;
    }

    // The subject's common name counts only where there is no list of names, as in certificates of old.
    private static List<string> Names(X509Certificate2 certificate)
    {
        var names = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SelectMany(extension => extension.EnumerateDnsNames()).ToList();
        return names.Count > 0 ? names : [certificate.GetNameInfo(X509NameType.DnsName, forIssuer: false)];
    }
}
