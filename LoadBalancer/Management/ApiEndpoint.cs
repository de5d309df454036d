namespace LoadBalancer.Management;

/// <summary>Something that the management API can be asked.</summary>
/// <param name="Method">The method; what answers GET answers HEAD too.</param>
/// <param name="Path">The path, with names in braces: <c>/api/pools/{pool}</c>.</param>
/// <param name="Answer">Answers.</param>
internal sealed record ApiEndpoint(string Method, string Path, Func<ApiRequest, Task> Answer)
{
    private readonly string[] _segments = Path.Split('/');

    /// <summary>Whether it changes nothing.</summary>
    public bool IsRead => Method == HttpMethods.Get;

    /// <summary>The methods that it answers.</summary>
    public IEnumerable<string> Methods => IsRead ? [Method, HttpMethods.Head] : [Method];

    /// <summary>Whether a path is one of its paths.</summary>
    /// <param name="path">The segments of the path.</param>
    public bool Matches(string[] path) =>
        path.Length == _segments.Length && _segments.Zip(path).All(pair => IsName(pair.First) || pair.First == pair.Second);

    /// <summary>What a path has in the places of the names, in their order.</summary>
    public IReadOnlyList<string> NamesIn(string[] path) =>
        [.. _segments.Zip(path).Where(pair => IsName(pair.First)).Select(pair => Decoded(pair.Second))];

    private static bool IsName(string segment) => segment.StartsWith('{');

    // Everything in the path is decoded already except the slash (RFC 3986 section 2.2).
    private static string Decoded(string segment) => segment.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);
}
