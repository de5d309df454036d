using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>
/// Checks the options of one listener: here what every listener has, and in a validator for each protocol what only that one has.
/// </summary>
internal static class ListenerValidator
{
    /// <summary>Requires all that must hold for a listener.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="listener">Its options.</param>
    /// <param name="all">The whole configuration.</param>
    /// <param name="addresses">The addresses that others listen on.</param>
    /// <param name="section">Its section.</param>
    public static void Check(
        string name, ListenerOptions listener, LoadBalancerOptions all, AddressValidator addresses, SectionValidator section)
    {
        var user = $"listener '{name}'";
        CheckPoolName(listener.Pool, "Pool", all, section);
        section.RequireAtLeast(1, listener.MaxConnections, "MaxConnections", orElse: "null for no limit");
        switch (listener)
        {
            case HttpListenerOptions http:
                HttpListenerValidator.Check(user, http, all, addresses, section);
                break;
            case TcpListenerOptions tcp:
                TcpListenerValidator.Check(user, tcp, all, addresses, section);
                break;
            case TasksListenerOptions tasks:
                TasksListenerValidator.Check(user, tasks, addresses, section);
                break;
            case BrokerListenerOptions broker:
                BrokerListenerValidator.Check(user, broker, addresses, section, isInCluster: all.Cluster is not null);
                break;
        }
    }

    /// <summary>Requires the name of a pool that is defined.</summary>
    public static void CheckPoolName(string? pool, string key, LoadBalancerOptions all, SectionValidator section)
    {
        var names = string.Join(", ", all.Pools.Keys.Select(name => $"'{name}'").DefaultIfEmpty("(no pool is defined)"));
        section.Require(pool is not null, key, $"is missing; expected one of {names}");
        section.Require(pool is null || all.Pools.ContainsKey(pool), key, $"pool '{pool}' is not defined; expected one of {names}");
    }
}
