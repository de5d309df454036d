using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Support;

/// <summary>A policy that picks the first backend with room, or fails as no policy should.</summary>
/// <param name="fails">Asked at each pick.</param>
/// <param name="candidates">Whom to choose among.</param>
internal sealed class FaultyPolicy(Func<bool> fails, Candidates? candidates = null) : IBalancingPolicy
{
    public string Name => "Faulty";

    public IBalancingPolicy Over(Candidates candidates) => new FaultyPolicy(fails, candidates);

    public Backend? Pick(in SelectionContext context)
    {
        foreach (var backend in candidates?.Backends ?? [])
        {
            if (context.Admits(backend))
            {
                return fails() ? throw new NotSupportedException("it broke") : backend;
            }
        }
        return null;
    }
}
