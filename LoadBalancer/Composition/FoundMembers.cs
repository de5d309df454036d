using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Composition;

/// <summary>
/// Turns a backend whose name leads to any number of servers into one backend for each of them, named <c>NAME@ADDRESS:PORT</c>: the same
/// name in each answer, so that health, counters, sessions and what an operator has set stay with the server.
/// </summary>
internal static class FoundMembers
{
    /// <summary>The members of a pool, in an order that does not depend on that of the answers.</summary>
    /// <param name="backends">The backends of the configuration.</param>
    /// <param name="find">The last answer for a name; null where there is none yet.</param>
    public static Dictionary<string, BackendOptions> Of(
        IEnumerable<KeyValuePair<string, BackendOptions>> backends, Func<NameKey, LookupAnswer?> find)
    {
        var members = new Dictionary<string, BackendOptions>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, backend) in backends)
        {
            if (NameKey.Of(backend) is not { IsOfMembers: true } key)
            {
                members.TryAdd(name, backend);
                continue;
            }
            var servers = find(key)?.Servers ?? [];
            var weights = key.Kind == NameKind.Service ? Weights(servers, backend.Weight) : null;
            foreach (var server in servers.OrderBy(server => server.Priority).ThenBy(server => IpPort.Of(server.Address))
                .ThenBy(server => server.Port))
            {
                var port = key.Kind == NameKind.Service ? server.Port : backend.Address.Port;
                var endpoint = new IPEndPoint(server.Address, port);
                members.TryAdd($"{name}@{endpoint}", backend with
                {
                    Address = new EndpointAddress(backend.Address.ServerScheme, server.Address.ToString(), port),
                    HostName = server.Host,
                    Weight = weights?[server] ?? backend.Weight,
                    Tier = server.Priority,
                });
            }
        }
        return members;
    }

    // Within 0..1000 in the same ratio, for each priority. All 0 means equal (RFC 2782).
    private static Dictionary<FoundServer, int> Weights(IReadOnlyList<FoundServer> servers, int weight)
    {
        var weights = new Dictionary<FoundServer, int>();
        foreach (var group in servers.GroupBy(server => server.Priority))
        {
            var largest = group.Max(server => server.Weight);
            double Share(FoundServer server) => (largest == 0 ? 1.0 : server.Weight) * weight;
            var scale = Math.Min(1, Backend.MaxWeight / Math.Max(1.0, Math.Max(largest, 1.0) * weight));
            foreach (var server in group)
            {
                var scaled = Share(server) * scale;
                weights[server] = scaled > 0 ? Math.Max(1, (int)Math.Round(scaled)) : 0;
            }
        }
        return weights;
    }
}
