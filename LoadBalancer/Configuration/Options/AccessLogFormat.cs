namespace LoadBalancer.Configuration.Options;

/// <summary>How the access log writes a request down.</summary>
public enum AccessLogFormat
{
    /// <summary>The Common Log Format, then seconds and backend.</summary>
    Common,

    /// <summary>An object on a line of its own.</summary>
    Json,
}
