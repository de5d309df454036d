namespace LoadBalancer.Configuration.Options;

/// <summary>How much work goes into making a response smaller.</summary>
public enum CompressionLevelName
{
    /// <summary>As little as possible: gzip's level 1, Brotli's 1.</summary>
    Fastest,

    /// <summary>Smaller, for a multiple of the work: gzip's level 6, Brotli's 4.</summary>
    Optimal,

    /// <summary>As small as possible, whatever it costs: gzip's level 9, Brotli's 11, which does less than 1 MB a second.</summary>
    SmallestSize,
}
