using System.Net;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>One way to authenticate clients.</summary>
internal interface IAuthenticator : IDisposable
{
    /// <summary>Checks who sends a request.</summary>
    /// <param name="context">The request.</param>
    /// <param name="client">The client's address.</param>
    ValueTask<AuthenticationResult> CheckAsync(HttpContext context, IPAddress? client);
}
