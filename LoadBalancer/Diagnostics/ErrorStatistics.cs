using System.Globalization;
using Microsoft.AspNetCore.WebUtilities;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// The errors that clients saw: responses of the load balancer itself, and 5xx responses of backends. Counted by type since the start;
/// the last ones are kept with place and cause. Only method and path of a request are kept: no query, no header fields.
/// </summary>
public sealed class ErrorStatistics(TimeProvider time)
{
    private const int RecentLimit = 20;
    private const int LongestPath = 200;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, long> _types = new(StringComparer.Ordinal);
    private readonly Queue<RecordedError> _recent = new();
    private readonly ErrorGroups _groups = new();
    private long _total;

    /// <summary>Records an error that a client saw.</summary>
    /// <param name="status">The status of the response.</param>
    /// <param name="where">The listener or pool that responded.</param>
    /// <param name="method">The method of the request; null if the request could not be parsed.</param>
    /// <param name="target">The target of the request; its query is dropped.</param>
    /// <param name="cause">The cause, in one line.</param>
    /// <param name="kind">The kind of the cause, see <see cref="ErrorGroup.Kind"/>; empty where the status says it all.</param>
    public void Add(int status, ErrorPlace where, string? method, string? target, string cause, string kind = "")
    {
        var request = method is null ? "" : $"{method} {Path(target)}: ";
        var error = new RecordedError(TypeOf(status), $"{where}: {request}{cause}", time.GetUtcNow());
        lock (_gate)
        {
            _total++;
            _types[error.Type] = _types.GetValueOrDefault(error.Type) + 1;
            _groups.Add(error, kind, where);
            _recent.Enqueue(error);
            if (_recent.Count > RecentLimit)
            {
                _recent.Dequeue();
            }
        }
    }

    /// <summary>The present counts and the most recent errors, the latest one last.</summary>
    public ErrorSummary Summary()
    {
        lock (_gate)
        {
            return new ErrorSummary(_total, [.. _types.Select(type => (type.Key, type.Value))], [.. _recent]);
        }
    }

    /// <summary>The errors of the last hour in groups, the largest one first.</summary>
    public IReadOnlyList<ErrorGroup> Groups()
    {
        lock (_gate)
        {
            return _groups.Summary(time.GetUtcNow());
        }
    }

    /// <summary>The type under which errors of a status are counted: <c>502_BAD_GATEWAY</c>.</summary>
    internal static string TypeOf(int status)
    {
        var phrase = ReasonPhrases.GetReasonPhrase(status);
        var letters = string.Concat(phrase.Where(c => char.IsAsciiLetter(c) || c is ' ' or '-'));
        var words = phrase.Length == 0 ? "UNKNOWN" : letters.Replace(' ', '_').Replace('-', '_').ToUpperInvariant();
        return string.Create(CultureInfo.InvariantCulture, $"{status}_{words}");
    }

    private static string Path(string? target)
    {
        var path = target?.Split('?')[0] ?? "";
        return path.Length <= LongestPath ? path : path[..LongestPath] + "…";
    }
}

/// <summary>One error.</summary>
/// <param name="Type">Such as <c>502_BAD_GATEWAY</c>.</param>
/// <param name="Message">Place and cause, in one line.</param>
/// <param name="Time">When.</param>
public sealed record RecordedError(string Type, string Message, DateTimeOffset Time);

/// <summary>The errors up to one moment.</summary>
/// <param name="Total">The number of errors.</param>
/// <param name="Types">The number of each type, ordered by name.</param>
/// <param name="Recent">The last errors, the most recent one last.</param>
public sealed record ErrorSummary(long Total, IReadOnlyList<(string Type, long Count)> Types, IReadOnlyList<RecordedError> Recent);
