namespace LoadBalancer.Pools;

/// <summary>What a backend did in the last whole interval of <see cref="OutlierRules"/>.</summary>
/// <param name="Requests">Attempts that ended, as far as they say something about the backend.</param>
/// <param name="SuccessShare">The share of them that succeeded; null where there were none.</param>
/// <param name="Median">The time within which half of the responses began; null where there were none.</param>
public sealed record OutlierNumbers(long Requests, double? SuccessShare, TimeSpan? Median);
