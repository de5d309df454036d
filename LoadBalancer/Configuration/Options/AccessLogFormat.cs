namespace LoadBalancer.Configuration.Options;

/// <summary>How the access log writes a request.</summary>
public enum AccessLogFormat
{
    /// <summary>The Common Log Format, then seconds and backend.</summary>
    Common,

    /// <summary>A JSON object for each request, on one line.</summary>
    Json,
}
