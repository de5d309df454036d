using System.Net.Security;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Tls;

/// <summary>
/// The certificates of one listener, and the trust in those of its clients. It looks at their files every two seconds. What has changed
/// is used for the connections that come after; of a certificate and a key that do not fit (they may be half replaced) there is one
/// warning, and the old ones stay. Once a day there is a warning of each that has expired or will soon.
/// </summary>
public sealed partial class CertificateStore : IDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ConcernInterval = TimeSpan.FromDays(1);

    private readonly string _listener;
    private readonly IReadOnlyList<CertificateOptions> _files;
    private readonly CertificateText?[] _read;
    private readonly SslStreamCertificateContext[] _contexts;
    private readonly DateTimeOffset[] _nextConcern;
    private readonly List<SslApplicationProtocol> _protocols;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _poll;
    private readonly Lock _gate = new(); // guards what a poll and a reload change
    private ClientTrust? _clients;
    private TlsSettings _settings;
    private volatile CertificateSelector _selector;

    /// <summary>Reads the certificates, and watches their files until disposed.</summary>
    /// <param name="listener">The listener's name.</param>
    /// <param name="options">Its options; they must be valid.</param>
    /// <param name="protocols">What clients can negotiate (ALPN); empty: nothing.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a line for each change.</param>
    /// <exception cref="StartException">One of them cannot be read.</exception>
    public CertificateStore(
        string listener, ITlsOptions options, List<SslApplicationProtocol> protocols, TimeProvider time, ILogger<CertificateStore> logger)
    {
        (_listener, _files, _protocols, _time, _logger) = (listener, options.Certificates, protocols, time, logger);
        _read = new CertificateText?[_files.Count];
        _contexts = new SslStreamCertificateContext[_files.Count];
        _nextConcern = new DateTimeOffset[_files.Count];
        for (var i = 0; i < _files.Count; i++)
        {
            try
            {
                _read[i] = CertificateText.Read(_files[i]);
                _contexts[i] = ServerCertificate.Read(_read[i]!);
            }
            catch (Exception e) when (PemCertificate.IsFileError(e))
            {
                throw new StartException($"listener '{listener}': the certificate '{_files[i].File}' cannot be used: {e.Message}", e);
            }
        }
        _clients = TrustOf(options);
        _settings = new TlsSettings(options, protocols, _clients);
        _selector = new CertificateSelector(_contexts, _settings);
        _poll = time.CreateTimer(_ => Poll(), null, PollInterval, PollInterval);
    }

    /// <summary>The certificates in use now.</summary>
    public IReadOnlyList<CertificateStatus> Status =>
        [.. _files.Zip(_contexts, (file, context) =>
            {
                var validity = Validity.Of(context.TargetCertificate);
                return new CertificateStatus(_listener, file.File, validity.NotBefore, validity.NotAfter);
            })];

    /// <summary>What to answer to a client that asks for this name (SNI), or for none, over QUIC: with TLS 1.3, as all there.</summary>
    public SslServerAuthenticationOptions Select(string? serverName) =>
        Select(new ClientHello(serverName, VerifiableKeys.All, IsTls13: true));

    /// <summary>Applies other options; the certificates themselves stay.</summary>
    public void Apply(ITlsOptions options)
    {
        lock (_gate)
        {
            _clients = options.ClientCertificates == _clients?.Options ? _clients : TrustOf(options);
            _settings = new TlsSettings(options, _protocols, _clients);
            _selector = new CertificateSelector(_contexts, _settings);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _poll.Dispose();

    /// <summary>What to answer to a client.</summary>
    internal SslServerAuthenticationOptions Select(in ClientHello hello) => _selector.Select(hello);

    private ClientTrust? TrustOf(ITlsOptions options) =>
        options.ClientCertificates is { } clients ? new ClientTrust(_listener, clients, _time, _logger) : null;

    private void Poll()
    {
        lock (_gate)
        {
            var changed = _clients?.TryTakeUpChange() == true;
            for (var i = 0; i < _files.Count; i++)
            {
                changed |= TryTakeUpChangeNeedsLock(i);
                LogConcernNeedsLock(i);
            }
            if (changed)
            {
                _selector = new CertificateSelector(_contexts, _settings);
            }
        }
    }

    // Compares the text, not the time of the file: a link that now points elsewhere is a change, a touch is none. A text that is wrong is
    // remembered too, so that it is logged once and not every two seconds.
    private bool TryTakeUpChangeNeedsLock(int i)
    {
        var text = CertificateText.TryRead(_files[i]);
        if (text == _read[i])
        {
            return false;
        }
        _read[i] = text;
        try
        {
            _contexts[i] = text is null ? ServerCertificate.Read(_files[i]) : ServerCertificate.Read(text);
            LogTakenUp(_listener, _files[i].File, _contexts[i].TargetCertificate.NotAfter.ToUniversalTime());
            _nextConcern[i] = default;
            return true;
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            LogCannotBeUsed(_listener, _files[i].File, e.Message);
            return false;
        }
    }

    private void LogConcernNeedsLock(int i)
    {
        var now = _time.GetUtcNow();
        if (now >= _nextConcern[i] && Validity.Of(_contexts[i].TargetCertificate).Concern(now) is { } concern)
        {
            _nextConcern[i] = now + ConcernInterval;
            LogConcern(_listener, _files[i].File, concern);
        }
    }

    [LoggerMessage(40, LogLevel.Information,
        "listener '{Listener}': certificate '{File}' was taken up; it is valid until {NotAfter:yyyy-MM-dd HH:mm:ss}Z")]
    private partial void LogTakenUp(string listener, string file, DateTime notAfter);

    [LoggerMessage(41, LogLevel.Warning,
        "listener '{Listener}': certificate '{File}' has changed and cannot be used, the old one stays: {Reason}")]
    private partial void LogCannotBeUsed(string listener, string file, string reason);

    [LoggerMessage(47, LogLevel.Warning, "listener '{Listener}': certificate '{File}' {Concern}; it must be renewed")]
    private partial void LogConcern(string listener, string file, string concern);
}
