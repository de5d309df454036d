namespace LoadBalancer.Pools;

/// <summary>One probe of a backend.</summary>
/// <param name="Time">When it ended.</param>
/// <param name="Succeeded">Whether the backend was healthy.</param>
/// <param name="Answer">What it answered, or why it did not; one short phrase.</param>
public sealed record ProbeReport(DateTimeOffset Time, bool Succeeded, string Answer);
