namespace LoadBalancer.Management;

/// <summary>What a backend or a pool has done lately.</summary>
/// <param name="RequestsPerSecond">Requests in the last second.</param>
/// <param name="ErrorShare">Of the requests of the last seconds, those that failed or were answered with 5xx; 0..1.</param>
/// <param name="P50Ms">Median response time of the last seconds, in milliseconds; null where nothing was answered.</param>
/// <param name="P99Ms">The 99th percentile of the same.</param>
/// <param name="BytesInPerSecond">Bytes that were relayed from clients in the last second.</param>
/// <param name="BytesOutPerSecond">Bytes that were relayed to them.</param>
public sealed record Rates(
    double RequestsPerSecond, double ErrorShare, double? P50Ms, double? P99Ms, double BytesInPerSecond = 0, double BytesOutPerSecond = 0)
{
    /// <summary>Nothing.</summary>
    public static Rates None { get; } = new(0, 0, null, null);
}

/// <summary>The rates of one second, as they are kept: 24 bytes.</summary>
internal readonly struct PastRates(Rates rates)
{
    private readonly float _requests = (float)rates.RequestsPerSecond;
    private readonly float _errorShare = (float)rates.ErrorShare;
    private readonly float _p50 = (float)(rates.P50Ms ?? 0);
    private readonly float _p99 = (float)(rates.P99Ms ?? 0);
    private readonly float _bytesIn = (float)rates.BytesInPerSecond;
    private readonly float _bytesOut = (float)rates.BytesOutPerSecond;

    /// <summary>As <see cref="Rates.RequestsPerSecond"/>, in tenths.</summary>
    public double RequestsPerSecond => Math.Round(_requests, 1);

    /// <summary>As <see cref="Rates.ErrorShare"/>.</summary>
    public double ErrorShare => Math.Round(_errorShare, 4);

    /// <summary>As <see cref="Rates.P50Ms"/>.</summary>
    public double? P50Ms => _p50 > 0 ? Math.Round(_p50, 3) : null;

    /// <summary>As <see cref="Rates.P99Ms"/>.</summary>
    public double? P99Ms => _p99 > 0 ? Math.Round(_p99, 3) : null;

    /// <summary>As <see cref="Rates.BytesInPerSecond"/>.</summary>
    public double BytesInPerSecond => Math.Round(_bytesIn);

    /// <summary>As <see cref="Rates.BytesOutPerSecond"/>.</summary>
    public double BytesOutPerSecond => Math.Round(_bytesOut);
}
