using System.Collections.Immutable;
using LoadBalancer.Balancing;
using LoadBalancer.CommandLine;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Health;
using LoadBalancer.Http;
using LoadBalancer.Pools;
using Microsoft.Extensions.Logging.Console;

namespace LoadBalancer;

/// <summary>The composition root: the only place that sees all the parts.</summary>
internal static class Program
{
    private static Task<int> Main(string[] args)
    {
        // Socket completions run on the thread that polled them instead of being queued to another: the largest single gain there
        // is (a third of the CPU for a request). Read once, before the first socket. Its price: nothing may block there.
        Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
        return CommandLineInterface.InvokeAsync(args, RunAsync);
    }

    /// <summary>Runs a node until SIGINT or SIGTERM.</summary>
    /// <returns>The exit code: 0, or 1 where a listener could not start.</returns>
    private static async Task<int> RunAsync(LoadedConfiguration configuration)
    {
        using var host = Build(configuration.Options, TimeProvider.System);
        try
        {
            await host.StartAsync();
        }
        catch (ListenerException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }
        await host.WaitForShutdownAsync();
        return 0;
    }

    /// <summary>Puts a node together; the options must be valid.</summary>
    internal static IHost Build(LoadBalancerOptions options, TimeProvider time)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        var services = builder.Services;
        services.AddSingleton(time);
        services.Configure<HostOptions>(host => host.ShutdownTimeout = options.ShutdownTimeout);
        AddLogging(builder.Logging);

        foreach (var (name, pool) in options.Pools)
        {
            // A client for each pool, made once, that neither logs nor rotates its handler: its connections are the pool's.
            services.AddHttpClient(ForwardingClient(name))
                .ConfigurePrimaryHttpMessageHandler(() => HttpForwarder.CreateHandler(pool.Timeouts, time))
                .SetHandlerLifetime(Timeout.InfiniteTimeSpan)
                .RemoveAllLoggers();
        }
        services.AddHttpClient(nameof(HttpProbe)).ConfigurePrimaryHttpMessageHandler(HttpProbe.CreateHandler).RemoveAllLoggers();

        services.AddSingleton<HealthLog>();
        services.AddSingleton(provider => BuildPools(options, time, provider.GetRequiredService<HealthLog>()));
        services.AddHostedService(provider => new HealthChecker(ProbedPools(options, provider), time, Random.Shared));
        services.AddSingleton(provider => new ListenerService(BuildListeners(options, provider), provider.GetRequiredService<ILogger<ListenerService>>()));
        services.AddHostedService(provider => provider.GetRequiredService<ListenerService>());
        return builder.Build();
    }

    private static void AddLogging(ILoggingBuilder logging)
    {
        logging.AddConsole(console => console.FormatterName = LineFormatter.FormatterName);
        logging.AddConsoleFormatter<LineFormatter, ConsoleFormatterOptions>();
        logging.Services.Configure<ConsoleLoggerOptions>(console => console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite); // never wait for a terminal
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("System", LogLevel.Warning);
        logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical); // tells of a listener that cannot start at great length
    }

    private static ImmutableSortedDictionary<string, BackendPool> BuildPools(LoadBalancerOptions options, TimeProvider time, HealthLog log)
    {
        return options.Pools.ToImmutableSortedDictionary(entry => entry.Key, entry => BuildPool(entry.Key, entry.Value), StringComparer.OrdinalIgnoreCase);

        BackendPool BuildPool(string name, PoolOptions pool)
        {
            var rules = new HealthRules
            {
                Probed = pool.HealthCheck is not null,
                Rise = pool.HealthCheck?.Rise ?? 1,
                Fall = pool.HealthCheck?.Fall ?? 1,
                Failures = pool.PassiveHealth.Failures,
                Window = pool.PassiveHealth.Window,
            };
            var backends = pool.Backends.Select(entry =>
                new Backend(entry.Key, entry.Value.Address!, new BackendHealth(rules, time), entry.Value.Weight, entry.Value.MaxInFlight));
            IBalancingPolicy policy = pool.Policy switch
            {
                PolicyName.First => new FirstPolicy(),
                _ => new RoundRobinPolicy(),
            };
            var built = new BackendPool(name, policy, [.. backends]);
            log.Watch(built);
            EjectionTimer.Watch(built, pool.PassiveHealth.Ejection, time);
            return built;
        }
    }

    private static List<ProbedPool> ProbedPools(LoadBalancerOptions options, IServiceProvider provider)
    {
        var pools = provider.GetRequiredService<ImmutableSortedDictionary<string, BackendPool>>();
        var client = provider.GetRequiredService<IHttpClientFactory>().CreateClient(nameof(HttpProbe));
        return
        [
            .. from entry in options.Pools
               let check = entry.Value.HealthCheck
               where check is not null
               select new ProbedPool(pools[entry.Key], check, new HttpProbe(client, check, provider.GetRequiredService<TimeProvider>())),
        ];
    }

    private static List<KestrelListener> BuildListeners(LoadBalancerOptions options, IServiceProvider provider)
    {
        var pools = provider.GetRequiredService<ImmutableSortedDictionary<string, BackendPool>>();
        var lifetime = provider.GetRequiredService<IHostApplicationLifetime>();
        var forwarders = options.Pools.ToDictionary(
            entry => entry.Key,
            entry => new HttpForwarder(
                pools[entry.Key], entry.Value, provider.GetRequiredService<IHttpClientFactory>().CreateClient(ForwardingClient(entry.Key)),
                provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<HttpForwarder>>(), lifetime.ApplicationStopping),
            StringComparer.OrdinalIgnoreCase);
        return
        [
            .. from entry in options.Listeners
               select new KestrelListener(entry.Key, entry.Value, Pipeline(entry.Value), provider.GetRequiredService<ILoggerFactory>()),
        ];

        RequestDelegate Pipeline(ListenerOptions listener)
        {
            var pipeline = new ApplicationBuilder(provider);
            if (listener.StatusEndpoints)
            {
                pipeline.UseMiddleware<StatusMiddleware>(pools.Values.ToList(), lifetime);
            }
            pipeline.UseMiddleware<ProxyMiddleware>(forwarders[listener.Pool!]);
            return pipeline.Build();
        }
    }

    private static string ForwardingClient(string pool) => "pool " + pool;
}
