namespace LoadBalancer.Diagnostics;

/// <summary>Where an error arose that a client saw; what does not apply or is not known is null.</summary>
/// <param name="Listener">The listener.</param>
/// <param name="Route">The name of its route.</param>
/// <param name="Pool">The pool.</param>
/// <param name="Backend">Its backend.</param>
public readonly record struct ErrorPlace(string? Listener, string? Route, string? Pool, string? Backend)
{
    /// <summary>A listener, or one of its routes.</summary>
    public static ErrorPlace OfListener(string listener, string? route = null) => new(listener, route, null, null);

    /// <summary>A pool, or one of its backends.</summary>
    public static ErrorPlace OfPool(string pool, string? backend = null, string? route = null) => new(null, route, pool, backend);

    /// <summary>As logs name it: <c>pool 'web', backend 'b1'</c>.</summary>
    public override string ToString() => (Pool, Backend, Route) switch
    {
        (null, _, null) => $"listener '{Listener}'",
        (null, _, var route) => $"listener '{Listener}', route '{route}'",
        (var pool, null, _) => $"pool '{pool}'",
        var (pool, backend, _) => $"pool '{pool}', backend '{backend}'",
    };
}
