using System.Net;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>
/// Who a client is by the certificate of its connection, which the handshake has checked. It refuses nobody: a client without one may come
/// this far only where the listener allows that, and is nobody in particular.
/// </summary>
internal sealed class CertificateAuthenticator : IAuthenticator
{
    private CertificateAuthenticator()
    {
    }

    /// <summary>The only one; it has no state.</summary>
    public static CertificateAuthenticator Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<AuthenticationResult> CheckAsync(HttpContext context, IPAddress? client) => new(new AuthenticationResult(
        context.Features.Get<ProvedIdentity>()
        // Over QUIC the framework makes the handshake.
        ?? (context.Features.Get<ITlsConnectionFeature>()?.ClientCertificate is { } certificate
            ? ProvedIdentity.Of(certificate) : ProvedIdentity.Nobody)));

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
