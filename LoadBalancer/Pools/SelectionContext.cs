namespace LoadBalancer.Pools;

/// <summary>What a balancing policy knows about the work for which it chooses a backend.</summary>
public readonly struct SelectionContext
{
    private readonly IReadOnlyCollection<Backend>? _tried;

    /// <summary>Creates the context of one choice.</summary>
    /// <param name="tried">Backends on which this work was tried before; they are not chosen again.</param>
    /// <param name="clientHash">A well spread hash of the client or of another key; only <c>Hash</c> and <c>IpHash</c> use it.</param>
    /// <param name="isHedge">Whether an attempt at one of <paramref name="tried"/> is still under way, so that it has not failed.</param>
    public SelectionContext(IReadOnlyCollection<Backend>? tried = null, ulong clientHash = 0, bool isHedge = false) =>
        (_tried, ClientHash, IsHedge) = (tried, clientHash, isHedge);

    /// <summary>The hash of the client, or of another key of the work, see <see cref="Pools.ClientHash"/>.</summary>
    public ulong ClientHash { get; }

    /// <summary>
    /// Whether it is a second attempt beside another: it is not worth the use of a stand-by, see <see cref="Backend.Tier"/>.
    /// </summary>
    public bool IsHedge { get; }

    /// <summary>Whether the backend may be chosen: it has room for one more and was not tried before.</summary>
    public bool Admits(Backend backend) => backend.HasRoom && !HasTried(backend);

    /// <summary>Whether the work was tried on any backend before.</summary>
    public bool HasTriedAny => _tried is not null;

    /// <summary>Whether the work was tried on this backend before.</summary>
    public bool HasTried(Backend backend) => _tried is not null && _tried.Contains(backend);
}
