using System.Text.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>The changes of the last time, each with a number. Not safe for several threads at once.</summary>
internal sealed class EventLog
{
    /// <summary>How many are remembered.</summary>
    public const int Most = 1000;

    private readonly Queue<JsonObject> _changes = new();

    /// <summary>The number of the last change; 0 before the first one.</summary>
    public long LastId { get; private set; }

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
        foreach (var change in log.OfType<JsonObject>().Where(IsChange).Select(change => (JsonObject)change.DeepClone()))
        {
            LastId = Math.Max(LastId + 1, IdOf(change));
            change["id"] = LastId;
            Remember(change);
        }

        static bool IsChange(JsonObject change) => IsText(change["time"]) && IsText(change["text"]);
        static bool IsText(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String;
    }

    /// <summary>The last changes, the oldest first.</summary>
    public JsonArray Last(int count) => [.. _changes.TakeLast(count).Select(change => change.DeepClone())];

    /// <summary>The changes after one, the oldest first, and whether none between them was forgotten.</summary>
    public (IReadOnlyList<JsonObject> Changes, bool IsComplete) After(long id)
    {
        if (id > LastId)
        {
            return ([.. _changes], false); // It is of a process before this one.
        }
        var first = _changes.TryPeek(out var oldest) ? IdOf(oldest) : LastId + 1;
        return ([.. _changes.Where(change => IdOf(change) > id)], id >= first - 1);
    }

    /// <summary>The number of a change; 0 where it has none.</summary>
    public static long IdOf(JsonObject change) => change["id"] is JsonValue value && value.TryGetValue<long>(out var id) ? id : 0;

    private void Remember(JsonObject change)
    {
        _changes.Enqueue(change);
        if (_changes.Count > Most)
        {
            _changes.Dequeue();
        }
    }
}
