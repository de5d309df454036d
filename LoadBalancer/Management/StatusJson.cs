using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Broker;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>Pools, backends and errors as the management API writes them.</summary>
internal static class StatusJson
{
    /// <summary><c>{"status":"ok","backends":{"http://127.0.0.1:3000":true}}</c>.</summary>
    public static JsonObject Health(IReadOnlyList<BackendPool> pools, bool serving) =>
        new() { ["status"] = serving ? "ok" : "unavailable", ["backends"] = HealthByAddress(pools) };

    /// <summary>Health by address, and the pools.</summary>
    public static JsonObject Status(IReadOnlyList<BackendPool> pools) =>
        new() { ["backends"] = HealthByAddress(pools), ["pools"] = Pools(pools) };

    /// <summary>The pools, in the order of their names.</summary>
    /// <param name="pools">The pools.</param>
    /// <param name="activity">What they have done lately; null leaves that out.</param>
    /// <param name="brokers">The brokers that serve some of them.</param>
    /// <param name="since">Since when a backend is up or down.</param>
    public static JsonArray Pools(
        IReadOnlyList<BackendPool> pools, Activity? activity = null, IReadOnlyList<BrokerStatus>? brokers = null,
        Func<Backend, DateTimeOffset?>? since = null) =>
        [.. pools.Select(JsonNode (pool) => Pool(pool, activity, brokers?.FirstOrDefault(broker => broker.Pool == pool.Name), since))];

    /// <summary>The routes of the listeners that have any.</summary>
    public static JsonArray Routes(IReadOnlyList<RouteStatistics> routes, Activity activity) => [.. routes.Select(JsonNode (route) =>
    {
        var json = new JsonObject
        {
            ["listener"] = route.Listener,
            ["name"] = route.Route,
            ["requests"] = route.Answers.Codes().Sum(code => code.Count),
        };
        Add(json, activity.Of(route));
        return json;
    })];

    /// <summary>One backend.</summary>
    public static JsonObject Backend(Backend backend, bool isRelayed, Rates? rates = null, DateTimeOffset? since = null)
    {
        var json = new JsonObject
        {
            ["name"] = backend.Name,
            ["address"] = backend.Address.ToString(),
            ["weight"] = backend.Weight,
            ["adminState"] = backend.AdminState.ToString(),
            ["healthy"] = backend.Health.IsUp,
            ["reason"] = backend.Health.Reason,
            ["inFlight"] = backend.InFlight,
            ["maxInFlight"] = backend.MaxInFlight,
            ["requests"] = backend.Requests,
            ["failures"] = backend.Failures,
            ["responseTimeMs"] = backend.ResponseTime.Seconds is > 0 and var seconds ? Math.Round(seconds * 1000, 3) : null,
        };
        if (since is { } known)
        {
            json["since"] = Time(known);
        }
        if (backend.Tier > 0)
        {
            json["backup"] = true;
        }
        if (backend.Agent is { } agent && agent != AgentReport.None)
        {
            json["agent"] = new JsonObject
            {
                ["state"] = agent.State.ToString(),
                ["share"] = agent.Share,
                ["maxInFlight"] = agent.Limit,
            };
        }
        if (backend.Load != 0)
        {
            json["load"] = backend.Load;
        }
        if (backend.Outlier is { } outlier)
        {
            json["outlier"] = new JsonObject
            {
                ["requests"] = outlier.Requests,
                ["successShare"] = Rounded(outlier.SuccessShare),
                ["medianMs"] = outlier.Median?.TotalMilliseconds,
            };
        }
        if (isRelayed)
        {
            (json["bytesIn"], json["bytesOut"]) = (backend.Connections.BytesIn, backend.Connections.BytesOut);
        }
        if (rates is not null)
        {
            json["ramp"] = backend.Ramp;
            Add(json, rates, isRelayed);
        }
        return json;
    }

    /// <summary>Adds what is of interest for one backend alone: its last probe, and how its attempts ended.</summary>
    public static void AddDetails(JsonObject json, Backend backend)
    {
        if (backend.Health.LastProbe is { } probe)
        {
            json["lastProbe"] = new JsonObject
            {
                ["time"] = Time(probe.Time),
                ["succeeded"] = probe.Succeeded,
                ["answer"] = probe.Answer,
            };
        }
        json["failuresByKind"] = new JsonObject(Enum.GetValues<FailureKind>().Select(
            kind => KeyValuePair.Create(JsonNamingPolicy.CamelCase.ConvertName(kind.ToString()), (JsonNode?)backend.FailuresOf(kind))));
        json["responses"] = new JsonObject(backend.Answers.Codes().GroupBy(code => code.Code == 0 ? "other" : $"{code.Code / 100}xx")
            .Select(group => KeyValuePair.Create(group.Key, (JsonNode?)group.Sum(code => code.Count))));
    }

    /// <summary>The errors that clients saw.</summary>
    public static JsonObject Errors(ErrorSummary errors) => new()
    {
        ["total_errors"] = errors.Total,
        ["error_types"] = new JsonObject(errors.Types.Select(type => KeyValuePair.Create(type.Type, (JsonNode?)type.Count))),
        ["recent_errors"] = new JsonArray([.. errors.Recent.Select(error => new JsonObject
        {
            ["type"] = error.Type,
            ["msg"] = error.Message,
            ["timestamp"] = Time(error.Time),
        })]),
    };

    /// <summary>The certificates of the listeners.</summary>
    public static JsonArray Certificates(IReadOnlyList<CertificateStatus> certificates) =>
        [.. certificates.Select(JsonNode (certificate) => new JsonObject
        {
            ["listener"] = certificate.Listener,
            ["file"] = certificate.File,
            ["name"] = certificate.Name,
            ["notBefore"] = Time(certificate.NotBefore),
            ["notAfter"] = Time(certificate.NotAfter),
        })];

    /// <summary>Adds what happened lately. Connections that are relayed have no responses, so no percentiles.</summary>
    public static void Add(JsonObject json, Rates rates, bool isRelayed = false)
    {
        json[isRelayed ? "connectionsPerSecond" : "requestsPerSecond"] = Math.Round(rates.RequestsPerSecond, 1);
        json["errorShare"] = Math.Round(rates.ErrorShare, 4);
        if (isRelayed)
        {
            json["bytesInPerSecond"] = Math.Round(rates.BytesInPerSecond);
            json["bytesOutPerSecond"] = Math.Round(rates.BytesOutPerSecond);
            return;
        }
        json["p50Ms"] = rates.P50Ms;
        json["p99Ms"] = rates.P99Ms;
    }

    /// <summary>A time as RFC 3339 writes it, in UTC.</summary>
    public static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    private static JsonObject Pool(
        BackendPool pool, Activity? activity, BrokerStatus? broker, Func<Backend, DateTimeOffset?>? since)
    {
        var json = new JsonObject
        {
            ["name"] = pool.Name,
            ["policy"] = pool.Snapshot.Policy.Name,
            ["queueLength"] = pool.WaitingCount,
            ["retries"] = pool.Statistics.Retries,
            ["hedges"] = pool.Statistics.Hedges,
        };
        if (pool.HashKey is { } key)
        {
            json["hashKey"] = key;
        }
        if (pool.Outliers is { } outliers)
        {
            json["outliers"] = new JsonObject
            {
                ["backends"] = outliers.Hosts,
                ["meanSuccessShare"] = Rounded(outliers.MeanShare),
                ["leastSuccessShare"] = Rounded(outliers.LeastShare),
                ["medianMs"] = outliers.Median?.TotalMilliseconds,
                ["longestMedianMs"] = outliers.LongestMedian?.TotalMilliseconds,
                ["ejected"] = pool.Snapshot.Members.Count(backend => backend.Health.IsOutAsOutlier),
            };
        }
        if (activity is not null)
        {
            Add(json, activity.Of(pool), pool.IsRelayed);
        }
        if (broker is not null)
        {
            json["broker"] = Broker(broker);
        }
        json["backends"] = new JsonArray(
            [.. pool.Snapshot.Members.Select(backend =>
                Backend(backend, pool.IsRelayed, activity?.Of(backend), since?.Invoke(backend)))]);
        return json;
    }

    private static JsonObject Broker(BrokerStatus broker) => new()
    {
        ["role"] = broker.Role,
        ["peer"] = broker.Peer,
        ["conflict"] = broker.IsConflict,
        ["healthCheckAgeMs"] = Milliseconds(broker.HealthCheckAge),
        ["alternativePingAgeMs"] = Milliseconds(broker.AlternativePingAge),
        ["clients"] = broker.Clients,
        ["workers"] = broker.Workers,
        ["takeOvers"] = broker.TakeOvers,
        ["refused"] = new JsonArray([.. broker.Refused.Select(
            refused => new JsonObject { ["port"] = refused.Port, ["reason"] = refused.Reason, ["count"] = refused.Count })]),
    };

    private static double? Rounded(double? share) => share is { } known ? Math.Round(known, 4) : null;

    private static JsonNode? Milliseconds(TimeSpan? time) => time is { } known ? Math.Round(known.TotalMilliseconds) : null;

    // Pools may share a server; it is healthy only where it is in every one of them.
    private static JsonObject HealthByAddress(IReadOnlyList<BackendPool> pools)
    {
        var healthy = new JsonObject();
        foreach (var server in pools.SelectMany(pool => pool.Snapshot.Members).GroupBy(backend => backend.Address.ToString()))
        {
            healthy[server.Key] = server.All(backend => backend.Health.IsUp);
        }
        return healthy;
    }
}
