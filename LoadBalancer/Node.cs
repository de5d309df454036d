using System.Collections.Immutable;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Health;
using LoadBalancer.Http;
using LoadBalancer.Pools;

namespace LoadBalancer;

/// <summary>Puts a node together out of its parts; the only place that sees them all.</summary>
internal static class Node
{
    /// <summary>Puts a node together; the options must be valid.</summary>
    public static IHost Build(LoadBalancerOptions options, TimeProvider time)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        var services = builder.Services;
        services.AddSingleton(time);
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.ShutdownTimeout);
        ConsoleLogging.AddTo(builder.Logging);

        foreach (var (name, pool) in options.Pools)
        {
            // A client for each pool, made once, that neither logs nor rotates its handler: its connections are the pool's.
            services.AddHttpClient(ForwardingClient(name))
                .ConfigurePrimaryHttpMessageHandler(() => HttpForwarder.CreateHandler(pool, time))
                .SetHandlerLifetime(Timeout.InfiniteTimeSpan)
                .RemoveAllLoggers();
            services.AddHttpClient(ProbingClient(name)).ConfigurePrimaryHttpMessageHandler(() => HttpProbe.CreateHandler(pool.Tls)).RemoveAllLoggers();
        }

        services.AddSingleton<HealthLog>();
        services.AddSingleton<ErrorStatistics>();
        services.AddSingleton(provider => BuildPools(options, time, provider.GetRequiredService<HealthLog>()));
        services.AddHostedService(provider => new HealthChecker(ProbedPools(options, provider), time, Random.Shared));
        services.AddSingleton(provider => OpenAccessLogs(options, provider));
        foreach (var setting in AccessLogSettings(options).Select(log => log.Setting).Distinct(StringComparer.OrdinalIgnoreCase))
        {
            services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<Dictionary<string, AccessLog>>()[setting]);
        }
        services.AddSingleton(provider => new ListenerService(BuildListeners(options, provider), provider.GetRequiredService<ILogger<ListenerService>>()));
        services.AddHostedService(provider => provider.GetRequiredService<ListenerService>());
        return builder.Build();
    }

    private static ImmutableSortedDictionary<string, BackendPool> BuildPools(LoadBalancerOptions options, TimeProvider time, HealthLog log) =>
        options.Pools.ToImmutableSortedDictionary(entry => entry.Key, entry => PoolFactory.Build(entry.Key, entry.Value, time, log), StringComparer.OrdinalIgnoreCase);

    private static List<ProbedPool> ProbedPools(LoadBalancerOptions options, IServiceProvider provider)
    {
        var pools = provider.GetRequiredService<ImmutableSortedDictionary<string, BackendPool>>();
        return
        [
            .. from entry in options.Pools
               let check = entry.Value.HealthCheck
               where check is not null
               select new ProbedPool(pools[entry.Key], check, Probe(entry.Key, entry.Value, check, provider)),
        ];
    }

    private static IProbe Probe(string pool, PoolOptions options, HealthCheckOptions check, IServiceProvider provider)
    {
        var time = provider.GetRequiredService<TimeProvider>();
        return check.Type == ProbeType.Tcp
            ? new TcpProbe(check, time)
            : new HttpProbe(provider.GetRequiredService<IHttpClientFactory>().CreateClient(ProbingClient(pool)), check, options.HttpVersion, time);
    }

    private static IEnumerable<(string Listener, string Setting)> AccessLogSettings(LoadBalancerOptions options) =>
        options.Listeners.Select(entry => (entry.Key, entry.Value.AccessLog)).Where(log => !log.AccessLog.Equals("Off", StringComparison.OrdinalIgnoreCase));

    // Listeners that name the same file share it.
    private static Dictionary<string, AccessLog> OpenAccessLogs(LoadBalancerOptions options, IServiceProvider provider)
    {
        var logs = new Dictionary<string, AccessLog>(StringComparer.OrdinalIgnoreCase);
        foreach (var (listener, setting) in AccessLogSettings(options).Where(log => !logs.ContainsKey(log.Setting)))
        {
            try
            {
                logs[setting] = new AccessLog(setting, AccessLog.Open(setting), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<AccessLog>>());
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new ListenerException($"listener '{listener}': cannot write the access log '{setting}': {e.Message}", e);
            }
        }
        return logs;
    }

    private static List<KestrelListener> BuildListeners(LoadBalancerOptions options, IServiceProvider provider)
    {
        var pools = provider.GetRequiredService<ImmutableSortedDictionary<string, BackendPool>>();
        var accessLogs = provider.GetRequiredService<Dictionary<string, AccessLog>>();
        var lifetime = provider.GetRequiredService<IHostApplicationLifetime>();
        var forwarders = options.Pools.ToDictionary(
            entry => entry.Key,
            entry => new HttpForwarder(
                pools[entry.Key], entry.Value, provider.GetRequiredService<IHttpClientFactory>().CreateClient(ForwardingClient(entry.Key)),
                provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ErrorStatistics>(), provider.GetRequiredService<ILogger<HttpForwarder>>(), lifetime.ApplicationStopping),
            StringComparer.OrdinalIgnoreCase);
        return
        [
            .. from entry in options.Listeners
               select new KestrelListener(
                   entry.Key, entry.Value, Pipeline(entry.Value), accessLogs.GetValueOrDefault(entry.Value.AccessLog), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILoggerFactory>()),
        ];

        RequestDelegate Pipeline(ListenerOptions listener)
        {
            var pipeline = new ApplicationBuilder(provider);
            if (accessLogs.TryGetValue(listener.AccessLog, out var accessLog))
            {
                pipeline.UseMiddleware<AccessLogMiddleware>(accessLog, listener.AccessLogFormat, provider.GetRequiredService<TimeProvider>());
            }
            if (listener.StatusEndpoints)
            {
                pipeline.UseMiddleware<StatusMiddleware>(pools.Values.ToList(), lifetime);
            }
            if (HttpsMiddleware.IsNeeded(listener))
            {
                pipeline.UseMiddleware<HttpsMiddleware>(listener, HttpsPort(options));
            }
            pipeline.UseMiddleware<ProxyMiddleware>(listener, forwarders);
            return pipeline.Build();
        }
    }

    private static int HttpsPort(LoadBalancerOptions options) =>
        options.Listeners.Values.Select(listener => listener.Address!).FirstOrDefault(address => address.Scheme == "https")?.Port ?? 443;

    private static string ForwardingClient(string pool) => "forward to " + pool;

    private static string ProbingClient(string pool) => "probe " + pool;
}
