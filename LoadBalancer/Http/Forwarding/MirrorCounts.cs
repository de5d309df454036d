using System.Collections.Concurrent;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Counts what has become of the copies of requests that routes send to another pool. It lives as long as the node.</summary>
public sealed class MirrorCounts
{
    private readonly ConcurrentDictionary<(string Route, MirrorResult Result), long> _counts = new();

    /// <summary>The counts, by route and result.</summary>
    public IReadOnlyList<(string Route, string Result, long Count)> All =>
        [.. _counts.Select(entry => (entry.Key.Route, NameOf(entry.Key.Result), entry.Value))];

    /// <summary>Counts a copy.</summary>
    internal void Count(string route, MirrorResult result) =>
        _counts.AddOrUpdate((route, result), 1, static (_, count) => count + 1);

    private static string NameOf(MirrorResult result) => result switch
    {
        MirrorResult.Answered => "answered",
        MirrorResult.Failed => "failed",
        MirrorResult.Dropped => "dropped",
        MirrorResult.TooLarge => "too_large",
        MirrorResult.Incomplete => "incomplete",
    };
}
