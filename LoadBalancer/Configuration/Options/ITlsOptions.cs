namespace LoadBalancer.Configuration.Options;

/// <summary>How TLS ends at a listener, whatever it speaks inside.</summary>
public interface ITlsOptions
{
    /// <summary>
    /// The certificates. A client gets the one whose names cover the one it asks for (SNI): an exact name before a wildcard, the first of
    /// the list where none does. Of several for a name it gets one whose key it can verify. Changed files are read again within seconds.
    /// </summary>
    IReadOnlyList<CertificateOptions> Certificates { get; }

    /// <summary>
    /// Certificates that are got by themselves, beside <see cref="Certificates"/>. For their names they come before those. Null (the
    /// default): none.
    /// </summary>
    AcmeOptions? Acme => null;

    /// <summary>Whether there is any certificate, so that TLS ends here.</summary>
    internal bool HasCertificates => Certificates.Count > 0 || Acme is not null;

    /// <summary>The oldest version that is spoken. Default TLS 1.2.</summary>
    TlsVersion MinProtocol { get; }

    /// <summary>
    /// The cipher suites that clients may use: a profile of Mozilla's guideline (<c>Modern</c>, <c>Intermediate</c>), or their names. Where
    /// none is of TLS 1.3, all of that version stay. Default: those of the framework.
    /// </summary>
    IReadOnlyList<string> Ciphers { get; }

    /// <summary>Whether clients have certificates too. Null (the default): they are not asked for one.</summary>
    ClientCertificateOptions? ClientCertificates => null;
}
