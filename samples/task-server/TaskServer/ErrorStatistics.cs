using System.Globalization;
using Microsoft.AspNetCore.WebUtilities;

namespace TaskServer;

/// <summary>Counts the answers that were errors, and keeps the last 20.</summary>
internal sealed class ErrorStatistics(TimeProvider time)
{
    private const int MaxRecent = 20;

    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, long> _types = new(StringComparer.Ordinal);
    private readonly Queue<RecentError> _recent = new(MaxRecent);

    /// <summary>The answer to <c>GET /errors/stats</c>.</summary>
    public ErrorReport Report
    {
        get
        {
            lock (_lock)
            {
                return new ErrorReport(_types.Values.Sum(), new(_types), [.. _recent]);
            }
        }
    }

    /// <summary>Counts an error.</summary>
    public void Add(int status, string message)
    {
        var type = $"{status}_{ReasonPhrases.GetReasonPhrase(status).Replace(' ', '_').ToUpperInvariant()}";
        var timestamp = time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        lock (_lock)
        {
            _types[type] = _types.GetValueOrDefault(type) + 1;
            if (_recent.Count == MaxRecent)
            {
                _recent.Dequeue();
            }
            _recent.Enqueue(new RecentError(type, message, timestamp));
        }
    }
}

/// <summary>The number of errors, in all and of each type, and the last ones.</summary>
internal sealed record ErrorReport(long TotalErrors, SortedDictionary<string, long> ErrorTypes, IReadOnlyList<RecentError> RecentErrors);

/// <summary>An error that was answered.</summary>
internal sealed record RecentError(string Type, string Msg, string Timestamp);
