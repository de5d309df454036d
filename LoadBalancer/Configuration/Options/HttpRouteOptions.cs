using System.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>
/// What becomes of the requests that it matches: they go to a pool, or are answered here. A request matches if every condition that is
/// given holds.
/// </summary>
public sealed record HttpRouteOptions
{
    /// <summary>Its name in logs and messages. Default: its place in the list, from 1.</summary>
    public string? Name { get; init; }

    /// <summary>
    /// The hosts that may be asked for, without a port; <c>*.example.com</c> is any name below example.com, at any depth. Default: every
    /// host.
    /// </summary>
    public IReadOnlyList<string> Host { get; init; } = [];

    /// <summary>
    /// The beginning of the decoded path, in whole segments: <c>/api</c> matches <c>/api</c> and <c>/api/x</c>, not <c>/apix</c>. Null (the
    /// default) matches every path.
    /// </summary>
    public string? Path { get; init; }

    /// <summary>Whether <see cref="Path"/> is the whole path. Default false.</summary>
    public bool Exact { get; init; }

    /// <summary>
    /// A regular expression that the path must match as it was sent, before it is decoded. It protects nothing: the same path can be sent
    /// in other ways. Default null.
    /// </summary>
    public string? PathPattern { get; init; }

    /// <summary>The methods, in their case; <c>HEAD</c> must be listed too. Default: every method.</summary>
    public IReadOnlyList<string> Methods { get; init; } = [];

    /// <summary>
    /// Fields that the request must have, with a value such as <c>beta*</c>, where <c>*</c> stands for any text. Null: it must not have the
    /// field.
    /// </summary>
    [Secret]
    public IReadOnlyDictionary<string, string?> Headers { get; init; } = new Dictionary<string, string?>();

    /// <summary>The same for fields of the query; names and values are percent-decoded.</summary>
    [Secret]
    public IReadOnlyDictionary<string, string?> Query { get; init; } = new Dictionary<string, string?>();

    /// <summary>The same for cookies.</summary>
    [Secret]
    public IReadOnlyDictionary<string, string?> Cookies { get; init; } = new Dictionary<string, string?>();

    /// <summary>Addresses or networks of clients. Default: every client.</summary>
    public IReadOnlyList<IPNetwork> Clients { get; init; } = [];

    /// <summary>The pool that they go to; this or one of the next three is required.</summary>
    public string? Pool { get; init; }

    /// <summary>Pools, each with its share of the requests as a whole number.</summary>
    public IReadOnlyDictionary<string, int> Split { get; init; } = new Dictionary<string, int>();

    /// <summary>Redirects the client.</summary>
    public RedirectOptions? Redirect { get; init; }

    /// <summary>Answers here.</summary>
    public RespondOptions? Respond { get; init; }

    /// <summary>Whether the backend gets the path without <see cref="Path"/>: <c>/api/x</c> becomes <c>/x</c>. Default false.</summary>
    public bool StripPrefix { get; init; }

    /// <summary>What the backend gets before the path, after <see cref="Rewrite"/>. Default null.</summary>
    public string? AddPrefix { get; init; }

    /// <summary>A replacement in the path, after <see cref="StripPrefix"/>. Default null.</summary>
    public RewriteOptions? Rewrite { get; init; }

    /// <summary>
    /// The host that the backend gets: <c>Client</c> (the client's, the default), <c>Backend</c> (that of the backend's address), or a
    /// name.
    /// </summary>
    public string HostHeader { get; init; } = "Client";

    /// <summary>Changes of the request's fields.</summary>
    public FieldChangeOptions RequestHeaders { get; init; } = new();

    /// <summary>Changes of the response's fields, also where the response is ours.</summary>
    public FieldChangeOptions ResponseHeaders { get; init; } = new();

    /// <summary>The largest request body, in bytes. Null (the default): the listener's.</summary>
    public long? MaxRequestBodySize { get; init; }

    /// <summary>Clients that may come. Null (the default): the listener's; an empty list: all.</summary>
    public IReadOnlyList<IPNetwork>? Allow { get; init; }

    /// <summary>Clients that may not. Null (the default): the listener's; an empty list: none.</summary>
    public IReadOnlyList<IPNetwork>? Deny { get; init; }

    /// <summary>One of the <see cref="LoadBalancerOptions.RateLimits"/>. Null (the default): the listener's; <c>None</c>: none.</summary>
    public string? RateLimit { get; init; }

    /// <summary>
    /// One of the <see cref="LoadBalancerOptions.Authentication"/>. Null (the default): the listener's; <c>None</c>: none.
    /// </summary>
    public string? Authentication { get; init; }

    /// <summary>Which responses are compressed. Null (the default): the listener's; the text <c>None</c>: none.</summary>
    public CompressionOptions? Compression { get; init; }

    /// <summary>Where copies of its requests go. Null (the default): nowhere.</summary>
    public MirrorOptions? Mirror { get; init; }

    /// <summary>Its own time-outs.</summary>
    public RouteTimeoutOptions Timeouts { get; init; } = new();

    /// <summary>Its own retries.</summary>
    public RouteRetryOptions Retry { get; init; } = new();

    /// <summary>Whether its requests are in the listener's access log. Default true.</summary>
    public bool AccessLog { get; init; } = true;

    /// <summary>The names of its pools; empty where it answers itself.</summary>
    internal IEnumerable<string> PoolNames =>
        [.. Pool is null ? [] : new[] { Pool }, .. Split.Keys, .. Mirror?.Pool is { } mirror ? new[] { mirror } : []];

    /// <summary>Whether it surely matches every request that another route matches.</summary>
    internal bool Covers(HttpRouteOptions other) =>
        PathPattern is null && Methods.Count + Headers.Count + Query.Count + Cookies.Count + Clients.Count == 0
        && CoversHosts(other.Host) && CoversPath(other);

    private bool CoversHosts(IReadOnlyList<string> others) =>
        Host.Count == 0 || others.Count > 0 && others.All(other => Host.Any(host => CoversHost(host, other)));

    private static bool CoversHost(string host, string other) =>
        other.Equals(host, StringComparison.OrdinalIgnoreCase)
        || host.StartsWith("*.", StringComparison.Ordinal) && other.EndsWith(host[1..], StringComparison.OrdinalIgnoreCase);

    private bool CoversPath(HttpRouteOptions other)
    {
        if (Exact)
        {
            return other.Exact && other.Path == Path;
        }
        var (mine, others) = ((Path ?? "").TrimEnd('/'), (other.Path ?? "").TrimEnd('/') + "/");
        return others.StartsWith(mine + "/", StringComparison.Ordinal);
    }
}
