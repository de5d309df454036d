using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Health;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Listeners;
using LoadBalancer.Management;
using LoadBalancer.Tasks;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Http;
using Microsoft.Extensions.Options;

namespace LoadBalancer;

/// <summary>Puts a node together out of its parts; the only place that sees them all.</summary>
internal static class Node
{
    /// <summary>Puts a node together that goes with its configuration file; the options in it must be valid.</summary>
    public static IHost Build(LoadedConfiguration configuration, TimeProvider time) => Build(configuration.Options, time, configuration);

    /// <summary>Puts a node together; the options must be valid.</summary>
    /// <param name="options">The options.</param>
    /// <param name="time">The clock.</param>
    /// <param name="configuration">Where the options come from, whose changes are taken up; null where they never change.</param>
    public static IHost Build(LoadBalancerOptions options, TimeProvider time, LoadedConfiguration? configuration = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        var services = builder.Services;
        services.AddSingleton(time);
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.ShutdownTimeout);
        ConsoleLogging.AddTo(builder.Logging);

        services.AddHttpClient();
        services.RemoveAll<IHttpMessageHandlerBuilderFilter>(); // which would log every request
        services.AddSingleton<PoolClients>();
        services.AddSingleton<IConfigureOptions<HttpClientFactoryOptions>>(provider => provider.GetRequiredService<PoolClients>());

        services.AddSingleton<HealthLog>();
        services.AddSingleton<ErrorStatistics>();
        services.AddSingleton(provider => new HealthChecker(time, Random.Shared, provider.GetRequiredService<ILogger<HealthChecker>>()));
        services.AddSingleton(provider => new NodeMetrics(
            () => provider.GetRequiredService<NodePools>().All, () => Counts(provider),
            hasBrokers: options.Listeners.Values.Any(listener => listener.Protocol == ListenerProtocol.Broker),
            hasTasks: options.Listeners.Values.Any(listener => listener.Protocol == ListenerProtocol.Tasks)));
        services.AddSingleton(provider => new HeartbeatService(time, provider.GetRequiredService<ILogger<HeartbeatService>>()));
        services.AddSingleton(provider => BuildPools(options, provider));
        services.AddSingleton(provider => new AccessLogs(options.Listeners, time, provider.GetRequiredService<ILogger<AccessLog>>()));
        services.AddSingleton(provider => new NodeListeners(options, provider.GetRequiredService<NodePools>(), provider.GetRequiredService<AccessLogs>(), provider));
        services.AddSingleton(provider => new ListenerService(provider.GetRequiredService<NodeListeners>().Listeners, provider.GetRequiredService<ILogger<ListenerService>>()));

        services.AddSingleton(provider => new EventHub(
            () => provider.GetRequiredService<NodePools>().All, () => provider.GetRequiredService<NodeListeners>().Brokers, provider.GetRequiredService<ErrorStatistics>(), time, provider.GetRequiredService<ILogger<EventHub>>()));
        if (configuration is not null)
        {
            services.AddSingleton(provider => new ConfigurationReloader(
                configuration, changed => Apply(changed, options, provider), provider.GetRequiredService<EventHub>().Note, time, provider.GetRequiredService<ILogger<ConfigurationReloader>>()));
        }

        // Started in this order, and stopped in the other: /health there tells of the end until it is over.
        if (options.Management is { } management)
        {
            services.AddHostedService(provider => provider.GetRequiredService<EventHub>());
            services.AddSingleton(provider => new ManagementListener(management, provider));
            services.AddHostedService(provider => provider.GetRequiredService<ManagementListener>());
        }
        if (OtlpExport.IsWanted)
        {
            services.AddHostedService(_ => new OtlpExport());
        }
        services.AddHostedService(provider => provider.GetRequiredService<HealthChecker>());
        services.AddHostedService(provider => provider.GetRequiredService<HeartbeatService>());
        services.AddHostedService(provider => provider.GetRequiredService<AccessLogs>());
        services.AddHostedService(provider => provider.GetRequiredService<ListenerService>());
        if (configuration is not null)
        {
            services.AddHostedService(provider => provider.GetRequiredService<ConfigurationReloader>());
        }
        return builder.Build();
    }

    private static NodePools BuildPools(LoadBalancerOptions options, IServiceProvider provider)
    {
        var parts = new NodePoolParts(
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<HealthLog>(),
            provider.GetRequiredService<PoolClients>(),
            provider.GetRequiredService<IHttpClientFactory>(),
            provider.GetRequiredService<ErrorStatistics>(),
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping)
        {
            Durations = provider.GetRequiredService<NodeMetrics>().Durations,
        };
        var pools = new NodePools(parts, provider.GetRequiredService<HealthChecker>(), provider.GetRequiredService<HeartbeatService>());
        pools.Apply(options.Pools);
        return pools;
    }

    private static NodeCounts Counts(IServiceProvider provider)
    {
        var reloader = provider.GetService<ConfigurationReloader>();
        var listeners = provider.GetRequiredService<NodeListeners>();
        return new NodeCounts(
            reloader?.Applied ?? 0, reloader?.Refused ?? 0, provider.GetRequiredService<AccessLogs>().Dropped,
            [.. listeners.Listeners.Select(listener => (listener.Name, listener.Refused))])
        {
            Heartbeats = provider.GetRequiredService<HeartbeatService>().Statistics,
            Brokers = listeners.Brokers,
            Tasks = [.. listeners.Listeners.OfType<TasksListener>().Select(listener => listener.Counts)],
        };
    }

    // Pools first: listeners may lead to new ones. A pool that is gone serves what is on its way to it.
    private static IEnumerable<string> Apply(LoadBalancerOptions options, LoadBalancerOptions started, IServiceProvider provider)
    {
        provider.GetRequiredService<NodePools>().Apply(options.Pools);
        provider.GetRequiredService<IOptions<HostOptions>>().Value.ShutdownTimeout = options.ShutdownTimeout;
        var needed = provider.GetRequiredService<NodeListeners>().Apply(options);
        return options.Management == started.Management ? needed : needed.Append("Management has changed");
    }
}
