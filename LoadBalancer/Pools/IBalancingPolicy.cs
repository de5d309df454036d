namespace LoadBalancer.Pools;

/// <summary>
/// How a pool chooses among its eligible backends. A policy is made for one immutable set of backends; when the set or a weight
/// changes, the pool asks for a policy over the new set and publishes both together.
/// </summary>
public interface IBalancingPolicy
{
    /// <summary>Its name in the configuration.</summary>
    string Name { get; }

    /// <summary>The same policy over another set; its counters go on. Not called on the request path.</summary>
    IBalancingPolicy Over(Candidates candidates);

    /// <summary>Picks a backend that the context admits; null if it admits none. On the request path: no lock, no allocation.</summary>
    Backend? Pick(in SelectionContext context);
}
