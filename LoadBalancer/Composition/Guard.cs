namespace LoadBalancer.Composition;

/// <summary>A guard and the options that it was made of.</summary>
internal sealed record Guard<TOptions, T>(TOptions Options, T Instance);
