using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>A listener that relays connections.</summary>
public sealed record TcpListenerOptions() : ListenerOptions(ListenerProtocol.Tcp), ITlsOptions
{
    /// <summary>
    /// The certificates with which TLS ends here; none (the default): bytes are relayed as they are. Otherwise as
    /// <see cref="ITlsOptions.Certificates"/>.
    /// </summary>
    public IReadOnlyList<CertificateOptions> Certificates { get; init; } = [];

    /// <summary>
    /// Certificates that are got by themselves, beside <see cref="Certificates"/>; with them TLS ends here. Null (the default): none.
    /// </summary>
    public AcmeOptions? Acme { get; init; }

    /// <inheritdoc/>
    public TlsVersion MinProtocol { get; init; } = TlsVersion.Tls12;

    /// <inheritdoc/>
    public IReadOnlyList<string> Ciphers { get; init; } = [];

    /// <inheritdoc/>
    public ClientCertificateOptions? ClientCertificates { get; init; }

    /// <summary>
    /// The proxies whose PROXY headers are trusted, see <see cref="AcceptProxyProtocol"/>: addresses or networks such as
    /// <c>10.0.0.0/8</c>. Default: none.
    /// </summary>
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>How long a connection may be silent in both directions before it is closed. Default 1 h.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>
    /// What a client is sent, as it is, where no backend is available, before its connection is closed. Default null: nothing.
    /// </summary>
    public string? UnavailableMessage { get; init; }

    /// <summary>
    /// Whether connections from <see cref="TrustedProxies"/> begin with a PROXY header (version 1 or 2), which says who the client is.
    /// Default false.
    /// </summary>
    public bool AcceptProxyProtocol { get; init; }

    /// <summary>
    /// Who may connect to a Unix socket: the mode of its file in octal digits, as with chmod. Default 0660: the user and the group of this
    /// process. Not on Windows.
    /// </summary>
    public string? SocketMode { get; init; }

    /// <inheritdoc/>
    internal override UnixFileMode? UnixMode => UnixSocketMode.Parse(SocketMode);

    private protected override IReadOnlyList<string> Reloadable =>
        [nameof(Pool), nameof(MaxConnections), nameof(TrustedProxies), nameof(IdleTimeout), nameof(UnavailableMessage),
            nameof(AcceptProxyProtocol), nameof(Acme), nameof(MinProtocol), nameof(Ciphers), nameof(ClientCertificates)];

    /// <inheritdoc/>
    internal override bool NeedsAnother(ListenerOptions now) =>
        base.NeedsAnother(now) || ((ITlsOptions)this).HasCertificates != ((ITlsOptions)now).HasCertificates;
}
