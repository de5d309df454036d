using System.Globalization;
using Microsoft.AspNetCore.WebUtilities;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// The errors that clients saw: those that the load balancer itself answered, and those that backends answered with 5xx. Counted by
/// type since the start, the last ones kept with where and why. Of a request only method and path are kept: no query, no fields.
/// </summary>
public sealed class ErrorStatistics(TimeProvider time)
{
    private const int MostRecent = 20;
    private const int LongestPath = 200;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, long> _types = new(StringComparer.Ordinal);
    private readonly Queue<RecordedError> _recent = new();
    private long _total;

    /// <summary>Notes an error that the load balancer answered.</summary>
    /// <param name="status">The status of the answer.</param>
    /// <param name="where">Who answered: a listener or a pool, as logs name it.</param>
    /// <param name="method">The method of the request; null where there was no request that could be understood.</param>
    /// <param name="target">Its target; the query is dropped.</param>
    /// <param name="cause">Why, in one line.</param>
    public void Add(int status, string where, string? method, string? target, string cause)
    {
        var request = method is null ? "" : $"{method} {Path(target)}: ";
        var error = new RecordedError(TypeOf(status), $"{where}: {request}{cause}", time.GetUtcNow());
        lock (_gate)
        {
            _total++;
            _types[error.Type] = _types.GetValueOrDefault(error.Type) + 1;
            _recent.Enqueue(error);
            if (_recent.Count > MostRecent)
            {
                _recent.Dequeue();
            }
        }
    }

    /// <summary>All there is to know at this moment; the most recent error last.</summary>
    public ErrorSummary Summary()
    {
        lock (_gate)
        {
            return new ErrorSummary(_total, [.. _types.Select(type => (type.Key, type.Value))], [.. _recent]);
        }
    }

    /// <summary>What errors with a status are counted under: <c>502_BAD_GATEWAY</c>.</summary>
    internal static string TypeOf(int status)
    {
        var phrase = ReasonPhrases.GetReasonPhrase(status);
        var words = phrase.Length == 0 ? "UNKNOWN" : string.Concat(phrase.Where(c => char.IsAsciiLetter(c) || c is ' ' or '-')).Replace(' ', '_').Replace('-', '_').ToUpperInvariant();
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
/// <param name="Message">Where and why, in one line.</param>
/// <param name="Time">When.</param>
public sealed record RecordedError(string Type, string Message, DateTimeOffset Time);

/// <summary>The errors until a moment.</summary>
/// <param name="Total">How many there were.</param>
/// <param name="Types">How many of each type, by name.</param>
/// <param name="Recent">The last ones, the most recent last.</param>
public sealed record ErrorSummary(long Total, IReadOnlyList<(string Type, long Count)> Types, IReadOnlyList<RecordedError> Recent);
