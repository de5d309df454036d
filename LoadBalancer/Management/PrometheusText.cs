using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>What the node as a whole counts, beside its pools.</summary>
/// <param name="ReloadsApplied">Configurations that were taken up while it ran.</param>
/// <param name="ReloadsRefused">Those that were invalid.</param>
/// <param name="AccessLogLinesLost">Lines of access logs that were lost.</param>
/// <param name="ConnectionsRefused">By listener: connections that were closed because there were too many.</param>
public sealed record NodeCounts(long ReloadsApplied, long ReloadsRefused, long AccessLogLinesLost, IReadOnlyList<(string Listener, long Count)> ConnectionsRefused)
{
    /// <summary>Datagrams with heartbeats, by pool and by what became of them.</summary>
    public IReadOnlyList<(string Pool, string Result, long Count)> Heartbeats { get; init; } = [];

    /// <summary>The brokers.</summary>
    public IReadOnlyList<BrokerStatus> Brokers { get; init; } = [];

    /// <summary>What has become of tasks, by pool.</summary>
    public IReadOnlyList<TaskCounts> Tasks { get; init; } = [];
}

/// <summary>Writes the metrics in Prometheus' text format, version 0.0.4.</summary>
internal sealed class PrometheusText
{
    private readonly StringBuilder _text = new();

    /// <summary>All metrics, as they are at this moment.</summary>
    public static string Of(IReadOnlyList<BackendPool> pools, NodeCounts node)
    {
        var writer = new PrometheusText();
        writer.WriteRequests(pools);
        writer.WriteConnections(pools);
        writer.WriteBackends([.. from pool in pools from backend in pool.Snapshot.Members select (pool, backend)]);
        writer.WritePools(pools);
        writer.WriteBrokers(node.Brokers);
        writer.WriteTasks(node.Tasks);
        writer.WriteNode(node);
        return writer._text.ToString();
    }

    private void WriteRequests(IReadOnlyList<BackendPool> pools)
    {
        // The load balancer's own answers have no backend.
        var answers = pools.SelectMany(pool => pool.Snapshot.Members
            .Select(backend => (Pool: pool.Name, Backend: backend.Name, backend.Answers))
            .Append((Pool: pool.Name, Backend: "", Answers: pool.Statistics.OwnAnswers))).ToList();

        Head("loadbalancer_requests_total", "counter", "Requests that were answered, by status; those of the load balancer's own have no backend.");
        foreach (var (pool, backend, statistics) in answers)
        {
            foreach (var (code, count) in statistics.Codes())
            {
                Line("loadbalancer_requests_total", count, ("pool", pool), ("backend", backend), ("code", code == 0 ? "other" : Number(code)));
            }
        }
        const string Duration = "loadbalancer_request_duration_seconds";
        Head(Duration, "histogram", "From a request's arrival to the end of its answer.");
        foreach (var (pool, backend, statistics) in answers)
        {
            var (counts, sum) = statistics.Durations();
            Histogram(Duration, counts, sum, ("pool", pool), ("backend", backend));
        }
    }

    private void WriteConnections(IReadOnlyList<BackendPool> pools)
    {
        // Who never came to a backend has none.
        var relayed = pools.Where(pool => pool.IsRelayed).SelectMany(pool => pool.Snapshot.Members
            .Select(backend => (Pool: pool.Name, Backend: backend.Name, backend.Connections))
            .Append((Pool: pool.Name, Backend: "", pool.Statistics.Connections))).ToList();

        Head("loadbalancer_connections_total", "counter", "Connections of TCP listeners that have ended, by how they did; those that never came to a backend have none.");
        foreach (var (pool, backend, connections) in relayed)
        {
            foreach (var end in Enum.GetValues<ConnectionEnd>())
            {
                if (connections.Ended(end) is > 0 and var count)
                {
                    Line("loadbalancer_connections_total", count, ("pool", pool), ("backend", backend), ("result", end.Label()));
                }
            }
        }
        Head("loadbalancer_bytes_total", "counter", "Bytes that were relayed, from clients (in) and to them (out).");
        foreach (var (pool, backend, connections) in relayed.Where(entry => entry.Backend.Length > 0))
        {
            Line("loadbalancer_bytes_total", connections.BytesIn, ("pool", pool), ("backend", backend), ("direction", "in"));
            Line("loadbalancer_bytes_total", connections.BytesOut, ("pool", pool), ("backend", backend), ("direction", "out"));
        }
    }

    private void WriteBackends(IReadOnlyList<(BackendPool Pool, Backend Backend)> backends)
    {
        void Each(string name, string type, string help, Func<Backend, double> value)
        {
            Head(name, type, help);
            foreach (var (pool, backend) in backends)
            {
                Line(name, value(backend), ("pool", pool.Name), ("backend", backend.Name));
            }
        }
        Each("loadbalancer_backend_healthy", "gauge", "1 where no source of health says that the backend is down.", backend => backend.Health.IsUp ? 1 : 0);
        Each("loadbalancer_backend_in_flight", "gauge", "Leases out now.", backend => backend.InFlight);
        Each("loadbalancer_backend_attempts_total", "counter", "Leases ever taken, retries and hedges included.", backend => backend.Requests);
        Each("loadbalancer_backend_failures_total", "counter", "Attempts that failed through the backend's fault.", backend => backend.Failures);
        Each("loadbalancer_backend_weight", "gauge", "Its share relative to the other backends of the pool.", backend => backend.Weight);
        Each("loadbalancer_backend_load", "gauge", "How busy it says that it is, in percent; 0 where it says nothing.", backend => backend.Load);
        Each("loadbalancer_backend_response_time_seconds", "gauge", "Moving average of its response times; 0 where nothing is known.", backend => backend.ResponseTime.Seconds);
        Head("loadbalancer_backend_admin_state", "gauge", "1 for what the operator wants of it.");
        foreach (var (pool, backend) in backends)
        {
            foreach (var state in Enum.GetValues<AdminState>())
            {
                Line("loadbalancer_backend_admin_state", backend.AdminState == state ? 1 : 0, ("pool", pool.Name), ("backend", backend.Name), ("state", state.ToString()));
            }
        }
    }

    private void WritePools(IReadOnlyList<BackendPool> pools)
    {
        void Each(string name, string type, string help, Func<BackendPool, double> value)
        {
            Head(name, type, help);
            foreach (var pool in pools)
            {
                Line(name, value(pool), ("pool", pool.Name));
            }
        }
        Each("loadbalancer_retries_total", "counter", "Attempts at a further backend after one had failed.", pool => pool.Statistics.Retries);
        Each("loadbalancer_hedges_total", "counter", "Attempts at a second backend while the first took long.", pool => pool.Statistics.Hedges);
        Each("loadbalancer_queue_length", "gauge", "Requests that wait because every backend is full.", pool => pool.WaitingCount);
        Each("loadbalancer_queue_refusals_total", "counter", "Requests refused because the queue was full, or after they had waited for too long.", pool => pool.Statistics.QueueRefusals);
    }

    private void WriteBrokers(IReadOnlyList<BrokerStatus> brokers)
    {
        void Each(string name, string type, string help, Func<BrokerStatus, double?> value)
        {
            Head(name, type, help);
            foreach (var broker in brokers)
            {
                if (value(broker) is { } known)
                {
                    Line(name, known, ("listener", broker.Listener));
                }
            }
        }
        if (brokers.Count == 0)
        {
            return;
        }
        Each("loadbalancer_broker_main", "gauge", "1 where it serves, 0 where it watches.", broker => broker.Role == "Main" ? 1 : 0);
        Each("loadbalancer_broker_conflict", "gauge", "1 where another one serves at the same time.", broker => broker.IsConflict ? 1 : 0);
        Each("loadbalancer_broker_take_overs_total", "counter", "How often it has taken over.", broker => broker.TakeOvers);
        Each("loadbalancer_broker_clients", "gauge", "Connected clients.", broker => broker.Clients);
        Each("loadbalancer_broker_workers", "gauge", "Connected workers.", broker => broker.Workers);
        Each("loadbalancer_broker_health_check_age_seconds", "gauge", "Since HCHECK was published by a main, or heard by an alternative.", broker => broker.HealthCheckAge?.TotalSeconds);
        Each("loadbalancer_broker_alternative_ping_age_seconds", "gauge", "Since the alternative was heard; missing where there is none.", broker => broker.AlternativePingAge?.TotalSeconds);
        Head("loadbalancer_broker_peer_info", "gauge", "Always 1; the other broker's address.");
        foreach (var broker in brokers.Where(broker => broker.Peer is not null))
        {
            Line("loadbalancer_broker_peer_info", 1, ("listener", broker.Listener), ("peer", broker.Peer!));
        }
        Head("loadbalancer_broker_refused_total", "counter", "Peers that lost their connections through their own fault, and messages that were out of place.");
        foreach (var broker in brokers)
        {
            foreach (var (port, reason, count) in broker.Refused)
            {
                Line("loadbalancer_broker_refused_total", count, ("listener", broker.Listener), ("port", port), ("reason", reason));
            }
        }
    }

    private void WriteTasks(IReadOnlyList<TaskCounts> tasks)
    {
        if (tasks.Count == 0)
        {
            return;
        }
        void Each(string name, string type, string help, Func<TaskCounts, double> value)
        {
            Head(name, type, help);
            foreach (var pool in tasks)
            {
                Line(name, value(pool), ("pool", pool.Pool));
            }
        }
        Each("loadbalancer_tasks_running", "gauge", "Tasks that workers are at, and have not taken too long with.", pool => pool.Running);
        Each("loadbalancer_task_attempts_lost_total", "counter", "Attempts at tasks that ended without a result: the worker was gone, or took too long.", pool => pool.Lost);
        Each("loadbalancer_tasks_failed_total", "counter", "Tasks that were given up after MaxAttempts.", pool => pool.Failed);
        void EachHistogram(string name, string help, Func<TaskCounts, (long[] Counts, TimeSpan Sum)> times)
        {
            Head(name, "histogram", help);
            foreach (var pool in tasks)
            {
                Histogram(name, times(pool).Counts, times(pool).Sum, ("pool", pool.Pool));
            }
        }
        EachHistogram("loadbalancer_task_wait_seconds", "From a task's arrival to its first worker.", pool => pool.Waits);
        EachHistogram("loadbalancer_task_run_seconds", "From a worker's being given a task to its result.", pool => pool.Runs);
    }

    private void WriteNode(NodeCounts node)
    {
        Head("loadbalancer_config_reloads_total", "counter", "Changes of the configuration while the node ran, by what became of them.");
        Line("loadbalancer_config_reloads_total", node.ReloadsApplied, ("result", "success"));
        Line("loadbalancer_config_reloads_total", node.ReloadsRefused, ("result", "error"));
        Head("loadbalancer_connections_refused_total", "counter", "Connections closed at once because there were MaxConnections already.");
        foreach (var (listener, count) in node.ConnectionsRefused)
        {
            Line("loadbalancer_connections_refused_total", count, ("listener", listener));
        }
        Head("loadbalancer_heartbeats_total", "counter", "Datagrams that arrived where a pool takes heartbeats, by what became of them.");
        foreach (var (pool, result, count) in node.Heartbeats)
        {
            Line("loadbalancer_heartbeats_total", count, ("pool", pool), ("result", result));
        }
        Head("loadbalancer_access_log_lines_lost_total", "counter", "Lines that came faster than they could be written, or could not be.");
        Line("loadbalancer_access_log_lines_lost_total", node.AccessLogLinesLost);
        Head("loadbalancer_build_info", "gauge", "Always 1.");
        Line("loadbalancer_build_info", 1, ("version", Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion));
        using var process = Process.GetCurrentProcess();
        Head("process_cpu_seconds_total", "counter", "User and system time of the process.");
        Line("process_cpu_seconds_total", process.TotalProcessorTime.TotalSeconds);
        Head("process_resident_memory_bytes", "gauge", "Memory of the process in use.");
        Line("process_resident_memory_bytes", process.WorkingSet64);
        Head("process_start_time_seconds", "gauge", "When the process was started, since 1970.");
        Line("process_start_time_seconds", new DateTimeOffset(process.StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1000.0);
    }

    private void Head(string name, string type, string help) => _text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    private void Histogram(string name, long[] counts, TimeSpan sum, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        var total = 0L;
        for (var i = 0; i < counts.Length; i++)
        {
            total += counts[i];
            Line(name + "_bucket", total, [.. labels, ("le", i < AnswerStatistics.DurationBounds.Count ? Number(AnswerStatistics.DurationBounds[i]) : "+Inf")]);
        }
        Line(name + "_sum", sum.TotalSeconds, labels);
        Line(name + "_count", total, labels);
    }

    private void Line(string name, double value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        _text.Append(name);
        for (var i = 0; i < labels.Length; i++)
        {
            _text.Append(i == 0 ? '{' : ',').Append(labels[i].Name).Append("=\"").Append(Escaped(labels[i].Value)).Append('"');
        }
        _text.Append(labels.Length > 0 ? "} " : " ").Append(Number(value)).Append('\n');
    }

    private static string Escaped(string value) => value.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n");

    private static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
