using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>Tells Kestrel that a connection has TLS, and what was negotiated.</summary>
internal sealed class TlsFeatures(SslStream tls)
    : ITlsConnectionFeature, ITlsApplicationProtocolFeature, ITlsHandshakeFeature, ISslStreamFeature
{
    /// <inheritdoc/>
    public SslStream SslStream => tls;

    /// <inheritdoc/>
    public X509Certificate2? ClientCertificate
    {
        get => tls.RemoteCertificate as X509Certificate2;
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> ApplicationProtocol => tls.NegotiatedApplicationProtocol.Protocol;

    /// <inheritdoc/>
    public SslProtocols Protocol => tls.SslProtocol;

    /// <inheritdoc/>
    public TlsCipherSuite? NegotiatedCipherSuite => tls.NegotiatedCipherSuite;

#pragma warning disable SYSLIB0058 // The interface has them.
    /// <inheritdoc/>
    public CipherAlgorithmType CipherAlgorithm => tls.CipherAlgorithm;

    /// <inheritdoc/>
    public int CipherStrength => tls.CipherStrength;

    /// <inheritdoc/>
    public HashAlgorithmType HashAlgorithm => tls.HashAlgorithm;

    /// <inheritdoc/>
    public int HashStrength => tls.HashStrength;

    /// <inheritdoc/>
    public ExchangeAlgorithmType KeyExchangeAlgorithm => tls.KeyExchangeAlgorithm;

    /// <inheritdoc/>
    public int KeyExchangeStrength => tls.KeyExchangeStrength;
#pragma warning restore SYSLIB0058

    /// <inheritdoc/>
    public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) =>
        Task.FromResult(ClientCertificate);
}
