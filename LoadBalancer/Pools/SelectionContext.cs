namespace LoadBalancer.Pools;

/// <summary>All that a balancing policy gets to know about the work it chooses a backend for.</summary>
public readonly struct SelectionContext
{
    private readonly IReadOnlyCollection<Backend>? _tried;

    /// <summary>Makes the context of one choice.</summary>
    /// <param name="tried">Backends that this work was already tried at; none of them is chosen again.</param>
    public SelectionContext(IReadOnlyCollection<Backend>? tried = null) => _tried = tried;

    /// <summary>Whether the backend may be chosen: it has room for one more and was not tried before.</summary>
    public bool Admits(Backend backend) => backend.HasRoom && (_tried is null || !_tried.Contains(backend));
}
