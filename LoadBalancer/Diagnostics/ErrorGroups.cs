namespace LoadBalancer.Diagnostics;

/// <summary>
/// The errors of the last hour, grouped by status, kind and place: how many came in each minute, and the last one as an example. The
/// groups are limited: errors of further ones are counted together. Not safe for several threads at once.
/// </summary>
internal sealed class ErrorGroups
{
    private const int MostGroups = 200;

    private static readonly Key Rest = new("", "", default);

    private readonly Dictionary<Key, Group> _groups = [];

    /// <summary>Counts an error.</summary>
    public void Add(RecordedError error, string kind, ErrorPlace place)
    {
        var key = new Key(error.Type, kind, place);
        if (!_groups.TryGetValue(key, out var group))
        {
            if (_groups.Count >= MostGroups)
            {
                RemoveOld(error.Time);
            }
            key = _groups.Count < MostGroups ? key : Rest;
            if (!_groups.TryGetValue(key, out group))
            {
                _groups[key] = group = new Group();
            }
        }
        group.Counts.Add(error.Time, 1);
        group.Last = error;
    }

    /// <summary>The groups that had errors in the hour before, those with the most first.</summary>
    public IReadOnlyList<ErrorGroup> Summary(DateTimeOffset now)
    {
        RemoveOld(now);
        return
        [
            .. _groups.Select(entry => new ErrorGroup(
                    entry.Key.Type, entry.Key.Kind, entry.Key.Place, entry.Value.Counts.Sum(now, MinuteCounts.Minutes),
                    entry.Value.Counts.Sum(now, 5), entry.Value.Last!))
                .OrderByDescending(group => group.LastHour).ThenByDescending(group => group.Example.Time),
        ];
    }

    private void RemoveOld(DateTimeOffset now)
    {
        foreach (var (key, _) in _groups.Where(entry => entry.Value.Counts.Sum(now, MinuteCounts.Minutes) == 0).ToList())
        {
            _groups.Remove(key);
        }
    }

    private readonly record struct Key(string Type, string Kind, ErrorPlace Place);

    private sealed class Group
    {
        public MinuteCounts Counts { get; } = new();

        public RecordedError? Last { get; set; }
    }
}

/// <summary>Errors of one kind, at one place.</summary>
/// <param name="Type">Such as <c>502_BAD_GATEWAY</c>; empty for what is beyond the limit of groups.</param>
/// <param name="Kind">What went wrong, as <c>Proxy-Status</c> names it (RFC 9209); <c>backend_response</c> for a 5xx of a backend.</param>
/// <param name="Place">Where.</param>
/// <param name="LastHour">How many there were in the last hour.</param>
/// <param name="LastMinutes">How many of them in the last five minutes.</param>
/// <param name="Example">The last one.</param>
public sealed record ErrorGroup(string Type, string Kind, ErrorPlace Place, long LastHour, long LastMinutes, RecordedError Example);
