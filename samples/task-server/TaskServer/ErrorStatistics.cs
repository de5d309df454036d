using System.Globalization;
using Microsoft.AspNetCore.WebUtilities;

namespace TaskServer;

/// <summary>Counts what was answered with an error, and remembers the last 20.</summary>
internal sealed class ErrorStatistics(TimeProvider time)
{
    private const int Remembered = 20;

    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, long> _types = new(StringComparer.Ordinal);
    private readonly Queue<RecentError> _recent = new(Remembered);

    /// <summary>What <c>GET /errors/stats</c> answers.</summary>
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
            if (_recent.Count == Remembered)
            {
                _recent.Dequeue();
            }
            _recent.Enqueue(new RecentError(type, message, timestamp));
        }
    }
}

/// <summary>How many errors there were, of which types, and the last of them.</summary>
internal sealed record ErrorReport(long TotalErrors, SortedDictionary<string, long> ErrorTypes, IReadOnlyList<RecentError> RecentErrors);

/// <summary>An error that was answered.</summary>
internal sealed record RecentError(string Type, string Msg, string Timestamp);
