namespace LoadBalancer.Configuration.Options;

/// <summary>A redirect.</summary>
public sealed record RedirectOptions
{
    /// <summary>Where to, with values such as <c>https://{host}{path}{query}</c>. Required.</summary>
    public string To { get; init; } = null!;

    /// <summary>301, 302, 303, 307 or 308 (the default). The last two keep method and body (RFC 9110 section 15.4).</summary>
    public int Status { get; init; } = StatusCodes.Status308PermanentRedirect;
}
