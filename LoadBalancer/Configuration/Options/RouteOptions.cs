namespace LoadBalancer.Configuration.Options;

/// <summary>Sends the requests that it matches to a pool of their own.</summary>
public sealed record RouteOptions
{
    /// <summary>The host that was asked for, without a port; <c>*.example.com</c> is any name below example.com. Null matches every host.</summary>
    public string? Host { get; init; }

    /// <summary>The beginning of the path, in whole segments: <c>/api</c> matches <c>/api</c> and <c>/api/x</c>, not <c>/apix</c>. Null matches every path.</summary>
    public string? Path { get; init; }

    /// <summary>Where they go. Required.</summary>
    public string? Pool { get; init; }
}
