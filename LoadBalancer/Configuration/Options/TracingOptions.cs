namespace LoadBalancer.Configuration.Options;

/// <summary>Traces of requests, as spans of OpenTelemetry.</summary>
public sealed record TracingOptions
{
    /// <summary>
    /// Which share of the requests that come without a trace (<c>traceparent</c>) are traced, 0 to 1. Of the others those are traced whose
    /// trace is sampled. Default 0.01.
    /// </summary>
    public double Sample { get; init; } = 0.01;
}
