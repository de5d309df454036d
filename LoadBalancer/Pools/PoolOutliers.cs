namespace LoadBalancer.Pools;

/// <summary>What the backends of a pool were compared with in the last whole interval of <see cref="OutlierRules"/>.</summary>
/// <param name="Hosts">How many backends had enough attempts.</param>
/// <param name="MeanShare">The mean of their shares of succeeded attempts; null where there were too few backends.</param>
/// <param name="LeastShare">Who is below that is an outlier; null the same way.</param>
/// <param name="Median">The time within which half of all their responses began; null where there were too few.</param>
/// <param name="LongestMedian">Whose median is not below that twice in a row is an outlier; null the same way.</param>
public sealed record PoolOutliers(int Hosts, double? MeanShare, double? LeastShare, TimeSpan? Median, TimeSpan? LongestMedian);
