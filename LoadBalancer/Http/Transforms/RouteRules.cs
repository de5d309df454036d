using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Transforms;

/// <summary>What a route changes on the way, and its limits. Immutable; null where the route says nothing.</summary>
internal sealed record RouteRules
{
    /// <summary>The route's name.</summary>
    public required string Name { get; init; }

    /// <summary>What becomes of the path.</summary>
    public TargetChange? Target { get; init; }

    /// <summary>The host that the backend gets; empty for that of its address.</summary>
    public string? Host { get; init; }

    /// <summary>What becomes of the request's fields.</summary>
    public FieldChanges? RequestFields { get; init; }

    /// <summary>The name of this proxy in the <c>Via</c> that the backend gets; it is the listener's.</summary>
    public ViaName? Via { get; init; }

    /// <summary>What becomes of the response's fields.</summary>
    public FieldChanges? ResponseFields { get; init; }

    /// <summary>Which responses are compressed.</summary>
    public ResponseCompression? Compression { get; init; }

    /// <summary>The largest request body, in bytes.</summary>
    public long? MaxRequestBodySize { get; init; }

    /// <summary>From the end of the request to the head of the response.</summary>
    public TimeSpan? ResponseTimeout { get; init; }

    /// <summary>From the head of the request to the end of the response.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Attempts in all.</summary>
    public int? Attempts { get; init; }
}
