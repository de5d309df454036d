namespace LoadBalancer.Configuration.Options;

/// <summary>Sends the requests that it matches to another pool than the listener's.</summary>
public sealed record HttpRouteOptions
{
    /// <summary>
    /// The host that was asked for, without a port; <c>*.example.com</c> is any name below example.com. Null (the default) matches every
    /// host.
    /// </summary>
    public string? Host { get; init; }

    /// <summary>
    /// The beginning of the path, in whole segments: <c>/api</c> matches <c>/api</c> and <c>/api/x</c>, not <c>/apix</c>. Null (the
    /// default) matches every path.
    /// </summary>
    public string? Path { get; init; }

    /// <summary>The pool that they go to. Required.</summary>
    public string Pool { get; init; } = null!;

    /// <summary>Whether it matches every request that another route matches.</summary>
    internal bool Covers(HttpRouteOptions other) => CoversHost(other.Host) && CoversPath(other.Path);

    private bool CoversHost(string? other) =>
        Host is null
        || other is not null && (other.Equals(Host, StringComparison.OrdinalIgnoreCase)
            || Host.StartsWith("*.", StringComparison.Ordinal) && other.EndsWith(Host[1..], StringComparison.OrdinalIgnoreCase));

    private bool CoversPath(string? other)
    {
        var (mine, others) = ((Path ?? "").TrimEnd('/'), (other ?? "").TrimEnd('/') + "/");
        return others.StartsWith(mine + "/", StringComparison.Ordinal);
    }
}
