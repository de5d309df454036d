using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>
/// Who has changed what and when: the last <see cref="MostEntries"/> changes in memory and, where that is configured, in a file too.
/// Thread-safe.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets what is wrong with the file.</param>
internal sealed class AuditLog(TimeProvider time, ILogger<AuditLog> logger)
{
    /// <summary>How many entries are in memory.</summary>
    public const int MostEntries = 1000;

    private readonly Lock _gate = new(); // guards the next two
    private readonly Queue<AuditEntry> _entries = new();
    private long _lastId = EventLog.IdBefore(time); // so that no number is that of an entry that a process before this one had
    private volatile AuditFile? _file;

    /// <summary>The entries, the newest first.</summary>
    public IReadOnlyList<AuditEntry> Entries
    {
        get
        {
            lock (_gate)
            {
                return [.. _entries.Reverse()];
            }
        }
    }

    /// <summary>Goes on with the entries of the process that this one replaces; before the start.</summary>
    public void Restore(JsonArray entries)
    {
        lock (_gate)
        {
            AddNeedsLock(entries.Select(AuditEntry.Read).OfType<AuditEntry>());
        }
    }

    /// <summary>Writes into a file from now on, and remembers what is in it, unless something is remembered already.</summary>
    /// <param name="path">The file; null for none.</param>
    public void Use(string? path)
    {
        if (path == _file?.Path)
        {
            return;
        }
        var file = path is null ? null : new AuditFile(path, logger);
        var known = file?.Read() ?? [];
        lock (_gate)
        {
            if (_entries.Count == 0)
            {
                AddNeedsLock(known);
            }
            _lastId = Math.Max(_lastId, known.Select(entry => entry.Id).DefaultIfEmpty().Max());
        }
        _file = file;
    }

    /// <summary>For the process that replaces this one.</summary>
    public JsonArray HandOver() => new([.. Entries.Reverse().Select(entry => (JsonNode)entry.ToJson())]);

    /// <summary>Adds an entry, with its number and the time. Returns when it was, or cannot be, written to the file.</summary>
    public async Task<AuditEntry> AddAsync(AuditEntry entry)
    {
        lock (_gate)
        {
            entry = entry with { Id = ++_lastId, Time = StatusJson.Time(time.GetUtcNow()) };
            AddNeedsLock([entry]);
        }
        if (_file is { } file)
        {
            await file.AppendAsync(entry);
        }
        return entry;
    }

    private void AddNeedsLock(IEnumerable<AuditEntry> entries)
    {
        foreach (var entry in entries)
        {
            _entries.Enqueue(entry);
            _lastId = Math.Max(_lastId, entry.Id);
            if (_entries.Count > MostEntries)
            {
                _entries.Dequeue();
            }
        }
    }
}
