using System.Diagnostics.Metrics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// The metrics in the form that OpenTelemetry takes, exported by OTLP where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set (and as the other
/// variables of its specification say). Where it is not, nothing of this is there.
/// </summary>
public sealed class Telemetry : IHostedService, IDisposable
{
    private const string MeterName = "LoadBalancer";

    // Written to as requests end, so that there is one for the process; where nobody listens that costs a look at a flag.
    private static readonly Histogram<double> RequestDuration = new Meter(MeterName).CreateHistogram(
        "loadbalancer.request.duration", "s", "From a request's arrival to the end of its answer.", null, new InstrumentAdvice<double> { HistogramBucketBoundaries = AnswerStatistics.DurationBounds });

    private readonly Func<IReadOnlyList<BackendPool>> _pools;
    private readonly Meter _meter = new(MeterName);
    private MeterProvider? _provider;

    /// <summary>Makes the instruments; they are read from <see cref="StartAsync"/> on.</summary>
    public Telemetry(Func<IReadOnlyList<BackendPool>> pools)
    {
        _pools = pools;
        _meter.CreateObservableCounter("loadbalancer.requests", Requests, "{request}", "Requests that were answered, by status.");
        _meter.CreateObservableCounter("loadbalancer.connections", Connections, "{connection}", "Connections of TCP listeners that have ended, by how they did.");
        _meter.CreateObservableCounter("loadbalancer.bytes", Bytes, "By", "Bytes that were relayed, from clients (in) and to them (out).");
        _meter.CreateObservableCounter("loadbalancer.backend.failures", () => OfBackends(backend => backend.Failures), "{attempt}", "Attempts that failed through the backend's fault.");
        _meter.CreateObservableGauge("loadbalancer.backend.healthy", () => OfBackends(backend => backend.Health.IsUp ? 1 : 0), description: "1 where the backend is up.");
        _meter.CreateObservableGauge("loadbalancer.backend.in_flight", () => OfBackends(backend => backend.InFlight), "{request}", "Leases out now.");
        _meter.CreateObservableCounter("loadbalancer.retries", () => OfPools(pool => pool.Statistics.Retries), "{attempt}", "Attempts at a further backend after one had failed.");
        _meter.CreateObservableCounter("loadbalancer.hedges", () => OfPools(pool => pool.Statistics.Hedges), "{attempt}", "Attempts at a second backend while the first took long.");
        _meter.CreateObservableGauge("loadbalancer.queue.length", () => OfPools(pool => pool.WaitingCount), "{request}", "Requests that wait because every backend is full.");
    }

    /// <summary>Whether somebody wants it: the environment names where to.</summary>
    public static bool IsWanted => Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT") is { Length: > 0 };

    /// <summary>Counts how long a request took; <paramref name="backend"/> is empty where the load balancer answered.</summary>
    public static void CountDuration(string pool, string backend, int status, TimeSpan duration)
    {
        if (RequestDuration.Enabled)
        {
            RequestDuration.Record(duration.TotalSeconds, Tag("pool", pool), Tag("backend", backend), Tag("code", status));
        }
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _provider = Sdk.CreateMeterProviderBuilder().AddMeter(MeterName).AddOtlpExporter().Build();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        _provider?.Dispose(); // Exports once more.
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private static KeyValuePair<string, object?> Tag(string name, object value) => new(name, value);

    private IEnumerable<(string Pool, string Backend, AnswerStatistics Answers)> Answers() => _pools().SelectMany(pool => pool.Snapshot.Members
        .Select(backend => (pool.Name, backend.Name, backend.Answers))
        .Append((pool.Name, "", pool.Statistics.OwnAnswers)));

    private IEnumerable<Measurement<long>> Requests() =>
        from answer in Answers()
        from code in answer.Answers.Codes()
        select new Measurement<long>(code.Count, Tag("pool", answer.Pool), Tag("backend", answer.Backend), Tag("code", code.Code));

    private IEnumerable<Measurement<long>> Connections() =>
        from pool in _pools()
        where pool.IsRelayed
        from who in pool.Snapshot.Members.Select(backend => (backend.Name, backend.Connections)).Append(("", pool.Statistics.Connections))
        from end in Enum.GetValues<ConnectionEnd>()
        let count = who.Item2.Ended(end)
        where count > 0
        select new Measurement<long>(count, Tag("pool", pool.Name), Tag("backend", who.Item1), Tag("result", end.Label()));

    private IEnumerable<Measurement<long>> Bytes() =>
        from pool in _pools()
        where pool.IsRelayed
        from backend in pool.Snapshot.Members
        from isIn in (bool[])[true, false]
        select new Measurement<long>(
            isIn ? backend.Connections.BytesIn : backend.Connections.BytesOut, Tag("pool", pool.Name), Tag("backend", backend.Name), Tag("direction", isIn ? "in" : "out"));

    private IEnumerable<Measurement<long>> OfBackends(Func<Backend, long> value) =>
        from pool in _pools()
        from backend in pool.Snapshot.Members
        select new Measurement<long>(value(backend), Tag("pool", pool.Name), Tag("backend", backend.Name));

    private IEnumerable<Measurement<long>> OfPools(Func<BackendPool, long> value) =>
        from pool in _pools()
        select new Measurement<long>(value(pool), Tag("pool", pool.Name));
}
