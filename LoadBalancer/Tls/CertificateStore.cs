using System.Net.Security;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Tls;

/// <summary>
/// The certificates of one listener. It looks at their files every two seconds. What has changed is used for the connections that come
/// after; of a certificate and a key that do not fit (they may be half replaced) there is one warning, and the old ones stay.
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
    /// <param name="protocols">What clients can negotiate (ALPN); empty: nothing.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a line for each change.</param>
    /// <exception cref="StartException">One of them cannot be read.</exception>
    public CertificateStore(
        string listener, IReadOnlyList<CertificateOptions> files, List<SslApplicationProtocol> protocols, TimeProvider time,
        ILogger<CertificateStore> logger)
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
            catch (Exception e) when (PemCertificate.IsFileError(e))
            {
                throw new StartException($"listener '{listener}': the certificate '{files[i].File}' cannot be used: {e.Message}", e);
            }
        }
        _selector = new CertificateSelector(_contexts, _protocols);
        _poll = time.CreateTimer(_ => TakeUpChanges(), null, PollInterval, PollInterval);
    }

    /// <summary>What to answer to a client that asks for this name (SNI), or for none, and can verify whatever there is.</summary>
    public SslServerAuthenticationOptions Select(string? serverName) => Select(new ClientHello(serverName, VerifiableKeys.All));

    /// <summary>What to answer to a client.</summary>
    internal SslServerAuthenticationOptions Select(in ClientHello hello) => _selector.Select(hello);

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
                    LogTakenUp(_listener, _files[i].File, _contexts[i].TargetCertificate.NotAfter.ToUniversalTime());
                    changed = true;
                }
            }
            catch (Exception e) when (PemCertificate.IsFileError(e))
            {
                LogCannotBeUsed(_listener, _files[i].File, e.Message);
            }
        }
        if (changed)
        {
            _selector = new CertificateSelector(_contexts, _protocols);
        }
    }

    // Compares the text, not the time of the file: a link that now points elsewhere is a change, a touch is none. A text that is wrong is
    // remembered too, so that it is logged once and not every two seconds.
    private bool ReadIfChanged(int i)
    {
        var text = (PemCertificate.TryRead(_files[i].File), _files[i].KeyFile is { } key ? PemCertificate.TryRead(key) : null);
        if (text == _read[i] && _contexts[i] is not null)
        {
            return false;
        }
        _read[i] = text;
        _contexts[i] = PemCertificate.Read(_files[i]);
        return true;
    }

    [LoggerMessage(40, LogLevel.Information,
        "listener '{Listener}': certificate '{File}' was taken up; it is valid until {NotAfter:yyyy-MM-dd HH:mm:ss}Z")]
    private partial void LogTakenUp(string listener, string file, DateTime notAfter);

    [LoggerMessage(41, LogLevel.Warning,
        "listener '{Listener}': certificate '{File}' has changed and cannot be used, the old one stays: {Reason}")]
    private partial void LogCannotBeUsed(string listener, string file, string reason);
}
