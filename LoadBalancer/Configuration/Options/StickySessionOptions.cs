namespace LoadBalancer.Configuration.Options;

/// <summary>Sticky sessions: a cookie brings a client back to the backend that served it first.</summary>
public sealed record StickySessionOptions
{
    /// <summary>The cookie's name. Default <c>lb-backend</c>.</summary>
    public string Cookie { get; init; } = "lb-backend";

    /// <summary>
    /// The file with the secret that the cookie's values are computed with; it is created where there is none. Nodes that serve the same
    /// clients need a copy of it. Default null: <c>loadbalancer/sticky-session.key</c> in the user's directory for application data.
    /// </summary>
    public string? KeyFile { get; init; }
}
