namespace LoadBalancer.Http.Messages;

/// <summary>Redirects of our own (RFC 9110 section 15.4).</summary>
internal static class Redirect
{
    /// <summary>Sets status and fields of the response, which has no body.</summary>
    /// <param name="context">The request.</param>
    /// <param name="status">The status.</param>
    /// <param name="location">Where the client is to go.</param>
    public static void Set(HttpContext context, int status, string location)
    {
        context.Response.StatusCode = status;
        context.Response.Headers.Location = location;
        context.Response.ContentLength = 0;
        ErrorResponse.EndConnectionIfBodyIsInDoubt(context);
    }
}
