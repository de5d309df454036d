using System.Text.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>The changes of the last time, each with a number. Not safe for several threads at once.</summary>
/// <param name="time">The clock.</param>
internal sealed class EventLog(TimeProvider time)
{
    /// <summary>How many are remembered.</summary>
    public const int Most = 1000;

    private readonly Queue<JsonObject> _changes = new();
    private bool _hasForgotten;

    /// <summary>The number of the last change; before the first one <see cref="IdBefore"/>.</summary>
    public long LastId { get; private set; } = IdBefore(time);

    /// <summary>
    /// After which number a process goes on: the time in milliseconds since 1970. With fewer than a thousand changes in a second no number
    /// is that of another change in a process before this one.
    /// </summary>
    public static long IdBefore(TimeProvider time) => time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Adds a change, with the next number.</summary>
    /// <returns>What was added; nothing may change it.</returns>
    public JsonObject Add(string time, string? pool, string? backend, string text, string? user)
    {
        var change = new JsonObject { ["id"] = ++LastId, ["time"] = time, ["pool"] = pool, ["backend"] = backend, ["text"] = text };
        if (user is not null)
        {
            change["user"] = user;
        }
        Remember(change);
        return change;
    }

    /// <summary>Goes on with the changes of another process; those of an earlier version have no numbers.</summary>
    public void Restore(JsonArray log)
    {
        var last = 0L;
        foreach (var change in log.OfType<JsonObject>().Where(IsChange).Select(change => (JsonObject)change.DeepClone()))
        {
            last = Math.Max(last + 1, IdOf(change));
            change["id"] = last;
            Remember(change);
        }
        LastId = Math.Max(LastId, last);
        _hasForgotten |= _changes.Count == Most; // The other process may have.

        static bool IsChange(JsonObject change) => IsText(change["time"]) && IsText(change["text"]);
        static bool IsText(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String;
    }

    /// <summary>The last changes, the oldest first.</summary>
    public JsonArray Last(int count) => [.. _changes.TakeLast(count).Select(change => change.DeepClone())];

    /// <summary>The changes after one, or after 0 all, the oldest first, and whether none of them was forgotten.</summary>
    public (IReadOnlyList<JsonObject> Changes, bool IsComplete) After(long id)
    {
        if (id > LastId)
        {
            return ([.. _changes], false); // It is of a process before this one.
        }
        var first = _changes.TryPeek(out var oldest) ? IdOf(oldest) : LastId + 1;
        return ([.. _changes.Where(change => IdOf(change) > id)], id == 0 ? !_hasForgotten : id >= first - 1);
    }

    /// <summary>The number of a change; 0 where it has none.</summary>
    public static long IdOf(JsonObject change) => change["id"] is JsonValue value && value.TryGetValue<long>(out var id) ? id : 0;

    private void Remember(JsonObject change)
    {
        _changes.Enqueue(change);
        if (_changes.Count > Most)
        {
            _changes.Dequeue();
            _hasForgotten = true;
        }
    }
}
