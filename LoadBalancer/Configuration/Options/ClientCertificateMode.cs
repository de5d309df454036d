namespace LoadBalancer.Configuration.Options;

/// <summary>What becomes of a client without a certificate. One whose certificate is not accepted is refused in any case.</summary>
public enum ClientCertificateMode
{
    /// <summary>It is refused: the handshake ends.</summary>
    Require,

    /// <summary>It may come. Nobody is known to be its user.</summary>
    Allow,
}
