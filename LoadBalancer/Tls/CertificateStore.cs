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
    private readonly List<SslApplicationProtocol> _protocols;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _poll;
    private readonly Lock _gate = new(); // guards what a poll and a reload change
    private ClientTrust? _clients;
    private TlsSettings _settings;
    private IReadOnlyList<CertificateEntry> _entries;
    private volatile IReadOnlyList<CertificateStatus> _status;
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
        (_listener, _protocols, _time, _logger) = (listener, protocols, time, logger);
        _entries = [.. options.Certificates.Select(Open), .. IssuedFor(options.Acme, [])];
        _clients = TrustOf(options);
        _settings = new TlsSettings(options, protocols, _clients);
        (_selector, _status) = (NewSelectorNeedsLock(), NewStatusNeedsLock());
        _poll = time.CreateTimer(_ => Poll(), null, PollInterval, PollInterval);
    }

    /// <summary>The certificates in use now; not those that only stand in.</summary>
    public IReadOnlyList<CertificateStatus> Status => _status;

    /// <summary>What to answer to a client that asks for this name (SNI), or for none, over QUIC: with TLS 1.3, as all there.</summary>
    public SslServerAuthenticationOptions Select(string? serverName) =>
        Select(new ClientHello(serverName, VerifiableKeys.All, IsTls13: true));

    /// <summary>Applies other options. Names of certificates that are got come and go; the others stay.</summary>
    public void Apply(ITlsOptions options)
    {
        lock (_gate)
        {
            _clients = options.ClientCertificates == _clients?.Options ? _clients : TrustOf(options);
            _settings = new TlsSettings(options, _protocols, _clients);
            _entries = [.. _entries.Where(entry => entry.Name is null), .. IssuedFor(options.Acme, _entries)];
            (_selector, _status) = (NewSelectorNeedsLock(), NewStatusNeedsLock());
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _poll.Dispose();

    /// <summary>What to answer to a client.</summary>
    internal SslServerAuthenticationOptions Select(in ClientHello hello) => _selector.Select(hello);

    private ClientTrust? TrustOf(ITlsOptions options) =>
        options.ClientCertificates is { } clients ? new ClientTrust(_listener, clients, _time, _logger) : null;

    private CertificateEntry Open(CertificateOptions file)
    {
        try
        {
            var text = CertificateText.Read(file);
            return new CertificateEntry(file, null) { Read = text, Context = ServerCertificate.Read(text) };
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            throw new StartException($"listener '{_listener}': the certificate '{file.File}' cannot be used: {e.Message}", e);
        }
    }

    // Those that are there already go on, also where the store or the directory is another one only until their file is there.
    private List<CertificateEntry> IssuedFor(AcmeOptions? acme, IReadOnlyList<CertificateEntry> before) =>
        [.. (acme?.DnsNames ?? []).Select(name =>
            before.FirstOrDefault(entry => entry.Name == name && entry.File.File == acme!.FileOf(name))
            ?? OpenIssued(name, acme!.FileOf(name), before.FirstOrDefault(entry => entry.Name == name)))];

    private CertificateEntry OpenIssued(string name, string file, CertificateEntry? before)
    {
        var entry = new CertificateEntry(new CertificateOptions { File = file }, name);
        entry.Read = CertificateText.TryRead(entry.File);
        try
        {
            entry.Context = ServerCertificate.Read(entry.Read ?? throw new FileNotFoundException());
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            entry.IsStandIn = before?.IsStandIn ?? true;
            entry.Context = before?.Context ?? SelfSigned.Create(name, _time.GetUtcNow());
        }
        return entry;
    }

    // A certificate that is got comes before one from a file for the same name, unless it has expired and the other one has not. What only
    // stands in comes after all of them.
    private CertificateSelector NewSelectorNeedsLock()
    {
        foreach (var entry in _entries)
        {
            NoticeExpiryNeedsLock(entry);
        }
        var used = _entries.Where(entry => entry.Name is null || !_entries.Any(other => IsBetter(other, entry)))
            .OrderBy(entry => entry.IsStandIn).ThenBy(entry => entry.Name is null).ToList();
        var first = _entries.Where(used.Contains).OrderBy(entry => entry.IsStandIn).First();
        return new CertificateSelector([.. used.Select(entry => entry.Context)], _settings, first.Context);
    }

    private static bool IsBetter(CertificateEntry other, CertificateEntry entry) =>
        !other.IsStandIn && other.Context.TargetCertificate.MatchesHostname(entry.Name!)
        && (entry.IsStandIn || (entry.HasExpired && !other.HasExpired));

    private List<CertificateStatus> NewStatusNeedsLock() =>
        [.. _entries.Where(entry => !entry.IsStandIn).Select(entry =>
            {
                var validity = Validity.Of(entry.Context.TargetCertificate);
                return new CertificateStatus(_listener, entry.File.File, validity.NotBefore, validity.NotAfter) { Name = entry.Name };
            })];

    private void Poll()
    {
        lock (_gate)
        {
            var changed = _clients?.TryTakeUpChange() == true;
            foreach (var entry in _entries)
            {
                changed |= TryTakeUpChangeNeedsLock(entry) | NoticeExpiryNeedsLock(entry);
                LogConcernNeedsLock(entry);
            }
            if (changed)
            {
                (_selector, _status) = (NewSelectorNeedsLock(), NewStatusNeedsLock());
            }
        }
    }

    // Compares the text, not the time of the file: a link that now points elsewhere is a change, a touch is none. A text that is wrong is
    // remembered too, so that it is logged once and not every two seconds.
    private bool TryTakeUpChangeNeedsLock(CertificateEntry entry)
    {
        var text = CertificateText.TryRead(entry.File);
        if (text == entry.Read)
        {
            return false;
        }
        entry.Read = text;
        try
        {
            entry.Context = text is null ? ServerCertificate.Read(entry.File) : ServerCertificate.Read(text);
            entry.IsStandIn = false;
            LogTakenUp(_listener, entry.File.File, entry.Context.TargetCertificate.NotAfter.ToUniversalTime());
            entry.NextConcern = default;
            return true;
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            LogCannotBeUsed(_listener, entry.File.File, e.Message);
            return false;
        }
    }

    private bool NoticeExpiryNeedsLock(CertificateEntry entry)
    {
        var hasExpired = _time.GetUtcNow() > Validity.Of(entry.Context.TargetCertificate).NotAfter;
        var isChange = hasExpired != entry.HasExpired;
        entry.HasExpired = hasExpired;
        return isChange;
    }

    // A certificate that is got may live for days only, and is renewed without anybody's help. What keeps it from that is logged there.
    private void LogConcernNeedsLock(CertificateEntry entry)
    {
        var now = _time.GetUtcNow();
        if (now < entry.NextConcern || entry.IsStandIn)
        {
            return;
        }
        var validity = Validity.Of(entry.Context.TargetCertificate);
        if ((entry.Name is null ? validity.Concern(now) : validity.Fault(now)) is { } concern)
        {
            entry.NextConcern = now + ConcernInterval;
            LogConcern(_listener, entry.File.File, concern);
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
