using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Management;

namespace LoadBalancer.Composition;

/// <summary>Describes listeners, routes and the configuration for operators.</summary>
internal static class NodeDescription
{
    private static readonly string[] Conditions =
    [
        nameof(HttpRouteOptions.Host), nameof(HttpRouteOptions.Path), nameof(HttpRouteOptions.Exact), nameof(HttpRouteOptions.PathPattern),
        nameof(HttpRouteOptions.Methods), nameof(HttpRouteOptions.Headers), nameof(HttpRouteOptions.Query),
        nameof(HttpRouteOptions.Cookies), nameof(HttpRouteOptions.Clients),
    ];

    private static readonly string[] Actions =
    [
        nameof(HttpRouteOptions.Pool), nameof(HttpRouteOptions.Split), nameof(HttpRouteOptions.Redirect), nameof(HttpRouteOptions.Respond),
        nameof(HttpRouteOptions.Mirror),
    ];

    /// <summary>The listeners, in the order of the configuration; the management listener comes last.</summary>
    public static IReadOnlyList<ListenerView> Listeners(IReadOnlyList<NodeListener> listeners, ManagementListener? management) =>
    [
        .. listeners.Select(entry => new ListenerView(
            entry.Name, $"{entry.Options.Protocol}", AddressesOf(entry), entry.Listener.Connections, entry.Listener.Refused,
            entry.Listener.Certificates)),
        .. management is null ? [] : new[]
        {
            new ListenerView("management", "Management", [management.Address], management.Connections, 0, management.Certificates),
        },
    ];

    /// <summary>The routes of Http listeners that have any; the name of what takes all others is empty.</summary>
    public static IReadOnlyDictionary<(string Listener, string Route), RouteView> Routes(IReadOnlyList<NodeListener> listeners)
    {
        var views = new Dictionary<(string, string), RouteView>();
        foreach (var (name, options) in listeners.Select(entry => (entry.Name, entry.Options as HttpListenerOptions)))
        {
            foreach (var (i, route) in (options?.Routes ?? []).Index())
            {
                views.TryAdd(
                    (name, route.Name ?? $"{i + 1}"), new RouteView(OptionsJson.Of(route, Conditions), OptionsJson.Of(route, Actions)));
            }
            if (options is not null)
            {
                views.TryAdd((name, ""), new RouteView([], OptionsJson.Of(options, [nameof(HttpListenerOptions.Pool)])));
            }
        }
        return views;
    }

    /// <summary>The configuration in use, without secrets, and how it differs from the file.</summary>
    public static JsonObject Configuration(string? file, OptionsInUse.State options, Func<OptionsInUse.State, Differences> compare)
    {
        var differences = compare(options);
        return new JsonObject
        {
            ["file"] = file,
            ["configuration"] = new JsonObject { [LoadBalancerOptions.SectionName] = OptionsJson.Of(options.InUse) },
            ["differences"] = differences.File,
            ["found"] = differences.Found,
        };
    }

    // The first one with its real port; the others are as they were configured.
    private static IReadOnlyList<string> AddressesOf(NodeListener entry) =>
        entry.Options is BrokerListenerOptions
            ? [.. entry.Options.Addresses.Select(address => $"{address}")]
            : [entry.Listener.Address, .. entry.Options.Addresses.Skip(1).Select(address => $"{address}")];
}
