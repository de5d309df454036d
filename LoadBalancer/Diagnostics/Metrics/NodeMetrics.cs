using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text.Json;
using LoadBalancer.Broker;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;

namespace LoadBalancer.Diagnostics.Metrics;

/// <summary>
/// All metrics of a node: the instruments of one meter. A metric is added here, and nowhere else but in the table of docs/management.md.
/// <see cref="PrometheusText"/> and <see cref="OtlpExport"/> are readers of the meter and know no metric by name.
/// <para>
/// Counters and gauges are observed: a reader that asks gets what the statistics of pools, backends and listeners say at that moment, so
/// the request path pays for the statistics only. They must not be of the other kind (<c>Counter</c>, <c>UpDownCounter</c>), which keeps
/// no value for a reader that comes later.
/// </para>
/// <para>
/// Histograms cannot be observed in .NET. So each has two sides with the same buckets. The statistics count durations per core, and
/// <see cref="Histograms"/> says where to read that: this is what Prometheus gets. And <see cref="Durations"/> takes every duration
/// while a reader listens that keeps counts of its own, as the OpenTelemetry library does. To count by the library alone would make each
/// request look up its labels and take a lock, even without OTLP.
/// </para>
/// </summary>
public sealed class NodeMetrics : IDisposable
{
    /// <summary>The name of the meter, for OTLP, and for tools such as dotnet-counters.</summary>
    public const string MeterName = "LoadBalancer";

    private readonly Func<IReadOnlyList<BackendPool>> _pools;
    private readonly Func<NodeCounts> _node;
    private readonly ConcurrentDictionary<Instrument, Func<IEnumerable<HistogramSample>>> _histograms = new();
    private bool _hasBrokers;
    private bool _hasTasks;

    /// <summary>Makes the instruments; both sources are asked whenever a reader is.</summary>
    /// <param name="pools">The pools that there are.</param>
    /// <param name="node">What the node counts beside them.</param>
    /// <param name="meterName">The name of the meter.</param>
    public NodeMetrics(Func<IReadOnlyList<BackendPool>> pools, Func<NodeCounts> node, string meterName = MeterName)
    {
        (_pools, _node, Meter) = (pools, node, new Meter(meterName));
        var requests = AddRequests();
        AddConnections();
        AddBackends();
        AddPools();
        Durations = new DurationInstruments(
            requests,
            Histogram("loadbalancer.task.wait", "From a task's arrival to its first worker."),
            Histogram("loadbalancer.task.run", "From a worker's being given a task to its result."),
            AddRoutes());
        AddNode();
        AddProcess();
    }

    /// <summary>Takes the durations of the pools' requests and tasks, see <see cref="PoolStatistics.Instruments"/>.</summary>
    public DurationInstruments Durations { get; }

    /// <summary>The one meter.</summary>
    internal Meter Meter { get; }

    /// <summary>Reads what a histogram has counted, for a reader that does not listen to it.</summary>
    internal IReadOnlyDictionary<Instrument, Func<IEnumerable<HistogramSample>>> Histograms => _histograms;

    /// <summary>Adds the metrics of listeners that only some nodes have. Once added they stay.</summary>
    /// <param name="brokers">Whether there are listeners for ZeroMQ.</param>
    /// <param name="tasks">Whether there are listeners for tasks.</param>
    public void Include(bool brokers, bool tasks)
    {
        if (brokers && !_hasBrokers)
        {
            _hasBrokers = true;
            AddBrokers();
        }
        if (tasks && !_hasTasks)
        {
            _hasTasks = true;
            AddTasks();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Meter.Dispose();

    private Histogram<double> AddRequests()
    {
        // The load balancer's own answers have no backend.
        IEnumerable<(string Pool, string Backend, AnswerStatistics Answers)> Answers() => _pools().SelectMany(pool => pool.Snapshot.Members
            .Select(backend => (pool.Name, backend.Name, backend.Answers))
            .Append((pool.Name, "", pool.Statistics.OwnAnswers)));

        Counter(
            "loadbalancer.requests", "{request}",
            "Requests that were answered, by status; those of the load balancer's own have no backend.",
            () => from source in Answers()
                  from code in source.Answers.Codes()
                  let label = code.Code == 0 ? "other" : (object)code.Code
                  select Sample(code.Count, ("pool", source.Pool), ("backend", source.Backend), ("code", label)));
        var durations = Histogram("loadbalancer.request.duration", "From a request's arrival to the end of its answer.");
        _histograms[durations] = () =>
            from source in Answers()
            select new HistogramSample(Tags(("pool", source.Pool), ("backend", source.Backend)), source.Answers.Durations());
        return durations;
    }

    private Histogram<double> AddRoutes()
    {
        Counter(
            "loadbalancer.route.requests", "{request}",
            "Requests by the route that took them and the class of the status; of listeners with routes.",
            () => from route in _node().Routes
                  from answers in route.Classes()
                  select Sample(answers.Count, ("listener", route.Listener), ("route", route.Route), ("code", answers.Class)));
        var durations = Histogram("loadbalancer.route.request.duration", "From the head of a request to the end of its answer, by route.");
        _histograms[durations] = () =>
            from route in _node().Routes
            select new HistogramSample(Tags(("listener", route.Listener), ("route", route.Route)), route.Answers.Durations());
        return durations;
    }

    private void AddConnections()
    {
        // A connection that never reached a backend has none.
        Counter(
            "loadbalancer.connections", "{connection}",
            "Connections of TCP listeners that have ended, by how they did; those that never came to a backend have none.",
            () => from pool in _pools()
                  where pool.IsRelayed
                  from side in pool.Snapshot.Members
                      .Select(backend => (backend.Name, backend.Connections)).Append((Name: "", pool.Statistics.Connections))
                  from end in Enum.GetValues<ConnectionEnd>()
                  let count = side.Connections.Ended(end)
                  where count > 0
                  select Sample(count, ("pool", pool.Name), ("backend", side.Name), ("result", Label(end))));
        Counter(
            "loadbalancer.bytes", "By", "Bytes that were relayed, from clients (in) and to them (out).",
            () => from pool in _pools()
                  where pool.IsRelayed
                  from backend in pool.Snapshot.Members
                  from way in new[] { ("in", backend.Connections.BytesIn), ("out", backend.Connections.BytesOut) }
                  select Sample(way.Item2, ("pool", pool.Name), ("backend", backend.Name), ("direction", way.Item1)));
    }

    private void AddBackends()
    {
        IEnumerable<Measurement<T>> Each<T>(Func<Backend, T> value) where T : struct =>
            from pool in _pools()
            from backend in pool.Snapshot.Members
            select Sample(value(backend), ("pool", pool.Name), ("backend", backend.Name));

        Gauge(
            "loadbalancer.backend.healthy", null, "1 where no source of health says that the backend is down.",
            () => Each(backend => backend.Health.IsUp ? 1L : 0L));
        Gauge("loadbalancer.backend.in_flight", "{request}", "Leases out now.", () => Each(backend => (long)backend.InFlight));
        Counter(
            "loadbalancer.backend.attempts", "{attempt}", "Leases ever taken, retries and hedges included.",
            () => Each(backend => backend.Requests));
        Counter(
            "loadbalancer.backend.failures", "{attempt}", "Attempts that failed through the backend's fault.",
            () => Each(backend => backend.Failures));
        Counter(
            "loadbalancer.outlier.ejections", "{ejection}",
            "Ejections of backends that succeeded too rarely (success) or answered too slowly (latency) in comparison with their pool.",
            () => from pool in _pools()
                  from backend in pool.Snapshot.Members
                  let counts = backend.OutlierCounts
                  where counts is not null
                  from ejections in new (string Reason, long Count)[]
                  {
                      ("success", counts.EjectedForFailures), ("latency", counts.EjectedForTime),
                  }
                  select Sample(
                      ejections.Count, ("pool", pool.Name), ("backend", backend.Name), ("reason", ejections.Reason)));
        Gauge(
            "loadbalancer.backend.weight", null, "Its share relative to the other backends of the pool.",
            () => Each(backend => (long)backend.Weight));
        Gauge(
            "loadbalancer.backend.limit", "{request}", "The most that it may have at once; those without a limit have none.",
            () => from pool in _pools()
                  from backend in pool.Snapshot.Members
                  let limit = backend.MaxInFlight
                  where limit is not null
                  select Sample((long)limit.Value, ("pool", pool.Name), ("backend", backend.Name)));
        Gauge(
            "loadbalancer.backend.load", null, "How busy it says that it is, in percent; 0 where it says nothing.",
            () => Each(backend => (long)backend.Load));
        Gauge(
            "loadbalancer.backend.response_time", "s", "Moving average of its response times; 0 where nothing is known.",
            () => Each(backend => backend.ResponseTime.Seconds));
        Gauge(
            "loadbalancer.backend.admin_state", null, "1 for what the operator wants of it.",
            () => from pool in _pools()
                  from backend in pool.Snapshot.Members
                  from state in Enum.GetValues<AdminState>()
                  select Sample(
                      backend.AdminState == state ? 1L : 0L, ("pool", pool.Name), ("backend", backend.Name), ("state", state.ToString())));
    }

    private void AddPools()
    {
        IEnumerable<Measurement<long>> Each(Func<BackendPool, long> value) =>
            _pools().Select(pool => Sample(value(pool), ("pool", pool.Name)));

        Counter(
            "loadbalancer.retries", "{attempt}", "Attempts at a further backend after one had failed.",
            () => Each(pool => pool.Statistics.Retries));
        Counter(
            "loadbalancer.hedges", "{attempt}", "Attempts at a second backend while the first took long.",
            () => Each(pool => pool.Statistics.Hedges));
        Gauge(
            "loadbalancer.pool.members", "{backend}", "Backends that the pool has, whatever their state.",
            () => Each(pool => pool.Snapshot.Members.Length));
        Gauge(
            "loadbalancer.queue.length", "{request}", "Requests that wait because every backend is full.",
            () => Each(pool => pool.WaitingCount));
        Counter(
            "loadbalancer.queue.refusals", "{request}",
            "Requests refused because the queue was full, or after they had waited for too long.",
            () => Each(pool => pool.Statistics.QueueRefusals));
    }

    private void AddBrokers()
    {
        // What is null is not known, and has no sample.
        IEnumerable<Measurement<T>> Each<T>(Func<BrokerStatus, T?> value) where T : struct =>
            from broker in _node().Brokers
            let known = value(broker)
            where known is not null
            select Sample(known.Value, ("listener", broker.Listener));

        Gauge(
            "loadbalancer.broker.main", null, "1 where it serves, 0 where it watches.",
            () => Each<long>(broker => broker.Role == "Main" ? 1 : 0));
        Gauge(
            "loadbalancer.broker.conflict", null, "1 where another one serves at the same time.",
            () => Each<long>(broker => broker.IsConflict ? 1 : 0));
        Counter("loadbalancer.broker.take_overs", null, "How often it has taken over.", () => Each<long>(broker => broker.TakeOvers));
        Gauge("loadbalancer.broker.clients", "{client}", "Connected clients.", () => Each<long>(broker => broker.Clients));
        Gauge("loadbalancer.broker.workers", "{worker}", "Connected workers.", () => Each<long>(broker => broker.Workers));
        Gauge(
            "loadbalancer.broker.health_check_age", "s", "Since HCHECK was published by a main, or heard by an alternative.",
            () => Each(broker => broker.HealthCheckAge?.TotalSeconds));
        Gauge(
            "loadbalancer.broker.alternative_ping_age", "s", "Since the alternative was heard; missing where there is none.",
            () => Each(broker => broker.AlternativePingAge?.TotalSeconds));
        Gauge(
            "loadbalancer.broker.peer_info", null, "Always 1; the other broker's address.",
            () => from broker in _node().Brokers
                  where broker.Peer is not null
                  select Sample(1L, ("listener", broker.Listener), ("peer", broker.Peer!)));
        Counter(
            "loadbalancer.broker.refused", null,
            "Peers that lost their connections through their own fault, and messages that were out of place.",
            () => from broker in _node().Brokers
                  from refused in broker.Refused
                  select Sample(refused.Count, ("listener", broker.Listener), ("port", refused.Port), ("reason", refused.Reason)));
    }

    private void AddTasks()
    {
        IEnumerable<Measurement<long>> Each(Func<TaskCounts, long> value) =>
            _node().Tasks.Select(tasks => Sample(value(tasks), ("pool", tasks.Pool)));

        IEnumerable<HistogramSample> EachDurations(Func<TaskCounts, DurationCounts> value) =>
            _node().Tasks.Select(tasks => new HistogramSample(Tags(("pool", tasks.Pool)), value(tasks)));

        Gauge(
            "loadbalancer.tasks.running", "{task}", "Tasks that workers are at, and have not taken too long with.",
            () => Each(tasks => tasks.Running));
        Counter(
            "loadbalancer.task.attempts_lost", "{attempt}",
            "Attempts at tasks that ended without a result: the worker was gone, or took too long.",
            () => Each(tasks => tasks.Lost));
        Counter(
            "loadbalancer.tasks.failed", "{task}", "Tasks that were given up after MaxAttempts.",
            () => Each(tasks => tasks.Failed));
        _histograms[Durations.TaskWaits] = () => EachDurations(tasks => tasks.Waits);
        _histograms[Durations.TaskRuns] = () => EachDurations(tasks => tasks.Runs);
    }

    private void AddNode()
    {
        Counter<long>(
            "loadbalancer.config.reloads", "{reload}", "Changes of the configuration while the node ran, by what became of them.",
            () => [Sample(_node().ReloadsApplied, ("result", "success")), Sample(_node().ReloadsRefused, ("result", "error"))]);
        Counter(
            "loadbalancer.connections.refused", "{connection}", "Connections closed at once because there were MaxConnections already.",
            () => _node().ConnectionsRefused.Select(refused => Sample(refused.Count, ("listener", refused.Listener))));
        Counter(
            "loadbalancer.rejected", "{request}", "Requests that a guard did not let through.",
            () => _node().Rejected.Select(rejected => Sample(
                rejected.Count, ("listener", rejected.Listener), ("route", rejected.Route), ("reason", rejected.Reason))));
        Counter(
            "loadbalancer.mirrored", "{request}", "Copies of requests for another pool, by what became of them.",
            () => _node().Mirrored.Select(mirrored => Sample(
                mirrored.Count, ("route", mirrored.Route), ("result", mirrored.Result))));
        Counter(
            "loadbalancer.dns.lookups", "{lookup}", "Lookups of the names of backends, by how they ended.",
            () => from lookups in _node().Lookups
                  where lookups.Count > 0
                  select Sample(lookups.Count, ("pool", lookups.Pool), ("result", Label(lookups.Result))));
        Gauge(
            "loadbalancer.certificate.not_after", "s", "Until when a listener's certificate is valid, since 1970.",
            () => _node().Certificates.Select(certificate => Sample(
                certificate.NotAfter.ToUnixTimeSeconds(), ("listener", certificate.Listener),
                certificate.Name is { } name ? ("name", name) : ("file", certificate.File))));
        Counter<long>(
            "loadbalancer.management.refused", "{request}", "Requests to the management listener whose token was wrong, or not looked at.",
            () => _node().WrongTokens is { } tokens
                ? [Sample(tokens.Wrong, ("reason", "wrong_token")), Sample(tokens.Paused, ("reason", "too_many_wrong_tokens"))]
                : []);
        Counter(
            "loadbalancer.heartbeats", "{datagram}", "Datagrams that arrived where a pool takes heartbeats, by what became of them.",
            () => from source in _node().Heartbeats
                  from entry in source.Statistics.Counts
                  select Sample(entry.Count, ("pool", source.Pool), ("result", Label(entry.Result))));
        Counter<long>(
            "loadbalancer.access_log.lines_lost", "{line}", "Lines that came faster than they could be written, or could not be.",
            () => [Sample(_node().AccessLogLinesLost)]);
        Gauge<long>("loadbalancer.build_info", null, "Always 1.", () => [Sample(1L, ("version", BuildInformation.Version))]);
    }

    // Under the names that Prometheus' own libraries give them in every process.
    private void AddProcess()
    {
        using var process = Process.GetCurrentProcess();
        var startTime = new DateTimeOffset(process.StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1000.0;
        Counter<double>(
            "process.cpu", "s", "User and system time of the process.",
            () => [Sample(Environment.CpuUsage.TotalTime.TotalSeconds)]);
        Gauge<long>("process.resident_memory", "By", "Memory of the process in use.", () => [Sample(Environment.WorkingSet)]);
        Gauge(
            "process.virtual_memory", "By", "Address space of the process, whether in use or not.",
            () => Known(ProcessReadings.VirtualMemory));
        Gauge("process.threads", "{thread}", "Threads of the process.", () => Known(ProcessReadings.Threads));
        Gauge("process.open_fds", "{file}", "Open files, sockets and pipes; on Linux.", () => Known(ProcessReadings.OpenFiles));
        Gauge("process.max_fds", "{file}", "How many files may be open; on Linux.", () => Known(ProcessReadings.MaxFiles));
        Gauge<double>("process.start_time", "s", "When the process was started, since 1970.", () => [Sample(startTime)]);
    }

    private static Measurement<long>[] Known(long? value) => value is { } known ? [Sample(known)] : [];

    private void Counter<T>(string name, string? unit, string help, Func<IEnumerable<Measurement<T>>> values) where T : struct =>
        Meter.CreateObservableCounter(name, values, unit, help);

    private void Gauge<T>(string name, string? unit, string help, Func<IEnumerable<Measurement<T>>> values) where T : struct =>
        Meter.CreateObservableGauge(name, values, unit, help);

    private Histogram<double> Histogram(string name, string help) => Meter.CreateHistogram(
        name, "s", help, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = DurationHistogram.Bounds });

    private static Measurement<T> Sample<T>(T value, params ReadOnlySpan<(string Name, object Value)> tags) where T : struct =>
        new(value, Tags(tags));

    private static KeyValuePair<string, object?>[] Tags(params ReadOnlySpan<(string Name, object Value)> tags)
    {
        var pairs = new KeyValuePair<string, object?>[tags.Length];
        for (var i = 0; i < tags.Length; i++)
        {
            pairs[i] = new(tags[i].Name, tags[i].Value);
        }
        return pairs;
    }

    private static string Label(Enum value) => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());
}

/// <summary>What a histogram has counted under some labels.</summary>
internal readonly record struct HistogramSample(KeyValuePair<string, object?>[] Tags, DurationCounts Counts);
