namespace LoadBalancer.Pools;

/// <summary>All that a balancing policy gets to know about the work it chooses a backend for.</summary>
public readonly struct SelectionContext
{
    private readonly IReadOnlyCollection<Backend>? _tried;

    /// <summary>Makes the context of one choice.</summary>
    /// <param name="tried">Backends that this work was already tried at; none of them is chosen again.</param>
    /// <param name="clientHash">What equal clients have in common, well mixed; only <c>IpHash</c> looks at it.</param>
    public SelectionContext(IReadOnlyCollection<Backend>? tried = null, ulong clientHash = 0) => (_tried, ClientHash) = (tried, clientHash);

    /// <summary>What equal clients have in common.</summary>
    public ulong ClientHash { get; }

    /// <summary>Whether the backend may be chosen: it has room for one more and was not tried before.</summary>
    public bool Admits(Backend backend) => backend.HasRoom && !HasTried(backend);

    /// <summary>Whether the work was tried anywhere before.</summary>
    public bool HasTriedAny => _tried is not null;

    /// <summary>Whether the work was tried there before.</summary>
    public bool HasTried(Backend backend) => _tried is not null && _tried.Contains(backend);
}
