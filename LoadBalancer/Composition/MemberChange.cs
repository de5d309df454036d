using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Composition;

/// <summary>How the members that a pool is to have have changed.</summary>
/// <param name="Joined">New ones, and those that are elsewhere now.</param>
/// <param name="Left">Those that are gone, or are elsewhere now.</param>
/// <param name="Changed">Those with other settings.</param>
internal sealed record MemberChange(IReadOnlyList<string> Joined, IReadOnlyList<string> Left, IReadOnlyList<string> Changed)
{
    private const int MostNames = 5; // in one line of the log

    /// <summary>Whether nothing has changed.</summary>
    public bool IsNone => Joined.Count + Left.Count + Changed.Count == 0;

    /// <summary>Compares the members before and now.</summary>
    public static MemberChange Of(
        IReadOnlyDictionary<string, BackendOptions> before, IReadOnlyDictionary<string, BackendOptions> now) => new(
        [.. now.Where(entry => !IsSame(before.GetValueOrDefault(entry.Key), entry.Value)).Select(entry => entry.Key)],
        [.. before.Where(entry => !IsSame(now.GetValueOrDefault(entry.Key), entry.Value)).Select(entry => entry.Key)],
        [
            .. from entry in now
               let was = before.GetValueOrDefault(entry.Key)
               where IsSame(was, entry.Value) && was != entry.Value
               select entry.Key,
        ]);

    /// <summary>Whether it is the same server, whatever its settings.</summary>
    public static bool IsSame(BackendOptions? before, BackendOptions now) =>
        before is not null && before.Address == now.Address && before.HostName == now.HostName;

    /// <summary>For the log: <c>joined: a, b; left: c</c>.</summary>
    public override string ToString()
    {
        (string What, IReadOnlyList<string> Names)[] parts = [("joined", Joined), ("left", Left), ("changed", Changed)];
        return string.Join("; ", from part in parts
                                 where part.Names.Count > 0
                                 let more = part.Names.Count > MostNames ? $" and {part.Names.Count - MostNames} more" : ""
                                 select $"{part.What}: {string.Join(", ", part.Names.Take(MostNames))}{more}");
    }
}
