using System.Collections.Concurrent;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Tls;

/// <summary>
/// Checks the certificates of a listener's clients. What has changed in the file of authorities is used for the handshakes that come
/// after; of a file that cannot be used (it may be half written) there is one warning, and the old authorities stay. Of clients that are
/// refused there is a line in the log once in ten seconds at most.
/// </summary>
internal sealed partial class ClientTrust
{
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2"; // RFC 5280 section 4.2.1.12

    private const int MaxIssuers = 100;

    private readonly string _listener;
    private readonly ILogger _logger;
    private readonly LogGate _refusals;
    private readonly ConcurrentDictionary<string, X509Certificate2> _issuers = new(StringComparer.Ordinal);
    private string? _read;
    private X509Certificate2Collection _authorities = [];
    private long _refused;

    /// <summary>Reads the authorities. Where they cannot be used no certificate is accepted until they can.</summary>
    /// <param name="listener">The listener's name.</param>
    /// <param name="options">What is asked of clients.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets each change, and refusals.</param>
    public ClientTrust(string listener, ClientCertificateOptions options, TimeProvider time, ILogger logger)
    {
        (_listener, Options, _logger, _refusals) = (listener, options, logger, new LogGate(time));
        TryRead(PemCertificate.TryRead(options.AuthorityFile));
    }

    /// <summary>What is asked of clients.</summary>
    public ClientCertificateOptions Options { get; }

    /// <summary>Reads the authorities again where their file has changed.</summary>
    /// <returns>Whether there are others now.</returns>
    public bool TryTakeUpChange()
    {
        var text = PemCertificate.TryRead(Options.AuthorityFile);
        if (text == _read || !TryRead(text))
        {
            return false;
        }
        LogTakenUp(_listener, Options.AuthorityFile);
        return true;
    }

    /// <summary>Makes a handshake ask for a certificate, and check it with the authorities of now.</summary>
    public void ApplyTo(SslServerAuthenticationOptions handshake)
    {
        handshake.ClientCertificateRequired = true; // to ask for it; the callback decides
        handshake.RemoteCertificateValidationCallback = IsAccepted;
        handshake.CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            ApplicationPolicy = { new Oid(ClientAuthentication) },
            RevocationMode = X509RevocationMode.NoCheck,
            VerificationTimeIgnored = true, // The time of each handshake counts.
            // Otherwise an issuer that the client does not send is fetched from wherever its certificate says.
            DisableCertificateDownloads = true,
        };
        handshake.CertificateChainPolicy.CustomTrustStore.AddRange(_authorities);
    }

    // Also called where a session is resumed: the authorities of now decide, not those of its first handshake. A resumed session has the
    // client's own certificate, but not the issuers that it sent with it. So those of accepted certificates are remembered.
    private bool IsAccepted(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is null ? Options.Mode == ClientCertificateMode.Allow && errors == SslPolicyErrors.RemoteCertificateNotAvailable
            : chain is not null && (errors == SslPolicyErrors.None || IsAcceptedWithIssuers(certificate, chain)))
        {
            Remember(chain);
            return true;
        }
        var refused = Interlocked.Increment(ref _refused);
        if (_refusals.TryPass())
        {
            Interlocked.Add(ref _refused, -refused);
            LogRefused(_listener, refused, certificate is null ? "the client sent none" : ReasonOf(chain));
        }
        return false;
    }

    private bool IsAcceptedWithIssuers(X509Certificate certificate, X509Chain chain)
    {
        if (_issuers.IsEmpty || !chain.ChainStatus.Any(status => status.Status.HasFlag(X509ChainStatusFlags.PartialChain)))
        {
            return false;
        }
        chain.ChainPolicy.ExtraStore.AddRange(_issuers.Values.ToArray());
        return chain.Build((X509Certificate2)certificate);
    }

    private void Remember(X509Chain? chain)
    {
        for (var i = 1; i < chain?.ChainElements.Count - 1; i++) // without the client's own and the root
        {
            var issuer = chain!.ChainElements[i].Certificate;
            if (_issuers.Count >= MaxIssuers)
            {
                _issuers.Clear();
            }
            if (!_issuers.ContainsKey(issuer.Thumbprint))
            {
                _issuers[issuer.Thumbprint] = X509CertificateLoader.LoadCertificate(issuer.RawData); // The chain's is disposed of.
            }
        }
    }

    private static string ReasonOf(X509Chain? chain)
    {
        var flags = chain?.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, status) => all | status.Status) ?? 0;
        return flags.HasFlag(X509ChainStatusFlags.NotTimeValid) ? "it, or an issuer, has expired or is not yet valid"
            : flags.HasFlag(X509ChainStatusFlags.NotValidForUsage) ? "it is not for clients"
            : (flags & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != 0
                ? "no chain of what the client sent leads to one of the authorities"
            : $"it is not valid ({flags})";
    }

    // Compares the text, as CertificateStore does. A text that is wrong is remembered too, so that it is logged only once.
    private bool TryRead(string? text)
    {
        _read = text;
        try
        {
            _authorities = PemCertificate.ReadAuthorities(text ?? throw new IOException("it cannot be read"));
            return true;
        }
        catch (Exception e) when (PemCertificate.IsFileError(e))
        {
            LogCannotBeUsed(_listener, Options.AuthorityFile, e.Message);
            return false;
        }
    }

    [LoggerMessage(160, LogLevel.Information, "listener '{Listener}': the authorities of clients in '{File}' were taken up")]
    private partial void LogTakenUp(string listener, string file);

    [LoggerMessage(161, LogLevel.Warning,
        "listener '{Listener}': the authorities of clients in '{File}' cannot be used, those of before stay: {Reason}")]
    private partial void LogCannotBeUsed(string listener, string file, string reason);

    [LoggerMessage(162, LogLevel.Warning,
        "listener '{Listener}': handshakes ended because of the client's certificate: {Count}; the last one: {Reason}")]
    private partial void LogRefused(string listener, long count, string reason);
}
