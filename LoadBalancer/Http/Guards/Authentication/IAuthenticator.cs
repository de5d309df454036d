namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>One way to authenticate clients.</summary>
internal interface IAuthenticator : IDisposable
{
    /// <summary>Checks who sends a request.</summary>
    ValueTask<AuthenticationResult> CheckAsync(HttpContext context);
}
