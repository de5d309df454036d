using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>A change that an operator has made, or wanted to make.</summary>
/// <param name="User">The name of the user's token, <c>-</c> where none is required.</param>
/// <param name="Address">The address from which it came.</param>
/// <param name="Action">What was to be done: <see cref="AuditAction"/>.</param>
/// <param name="Pool">The pool; null where it was about the node.</param>
/// <param name="Backend">The backend; null where it was about the pool or the node.</param>
internal sealed record AuditEntry(string User, string Address, string Action, string? Pool, string? Backend)
{
    /// <summary>It was done.</summary>
    public const string Done = "done";

    /// <summary>It was not; <see cref="Error"/> says why.</summary>
    public const string Refused = "refused";

    /// <summary>It has begun. Of an upgrade this process does not see the end.</summary>
    public const string Started = "started";

    /// <summary>Its number; a later entry has a higher one.</summary>
    public long Id { get; init; }

    /// <summary>When that was.</summary>
    public string Time { get; init; } = "";

    /// <summary>The settings before; null where there were none.</summary>
    public JsonObject? From { get; init; }

    /// <summary>The settings after that; null where there are none any more.</summary>
    public JsonObject? To { get; init; }

    /// <summary>What became of it.</summary>
    public string Result { get; init; } = Done;

    /// <summary>Why it was refused.</summary>
    public string? Error { get; init; }

    /// <summary>Whether it can be undone as long as nothing else changes the same thing.</summary>
    public bool IsUndoable => Result == Done && Pool is not null && (From is not null || To is not null);

    /// <summary>Whether both are about the same pool or backend.</summary>
    public bool IsAboutTheSameAs(AuditEntry other) => (Pool, Backend) == (other.Pool, other.Backend);

    /// <summary>As the API shows it, and the file has it.</summary>
    public JsonObject ToJson() => new()
    {
        ["id"] = Id,
        ["time"] = Time,
        ["user"] = User,
        ["address"] = Address,
        ["action"] = Action,
        ["pool"] = Pool,
        ["backend"] = Backend,
        ["from"] = From?.DeepClone(),
        ["to"] = To?.DeepClone(),
        ["result"] = Result,
        ["error"] = Error,
    };

    /// <summary>Reads what <see cref="ToJson"/> has written; null where that is something else.</summary>
    public static AuditEntry? Read(JsonNode? node) =>
        node is JsonObject json && json["id"] is JsonValue number && number.TryGetValue<long>(out var id)
        && Text(json["time"]) is { } time && Text(json["user"]) is { } user && Text(json["address"]) is { } address
        && Text(json["action"]) is { } action && Text(json["result"]) is { } result
            ? new AuditEntry(user, address, action, Text(json["pool"]), Text(json["backend"]))
            {
                Id = id,
                Time = time,
                From = json["from"]?.DeepClone() as JsonObject,
                To = json["to"]?.DeepClone() as JsonObject,
                Result = result,
                Error = Text(json["error"]),
            }
            : null;

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
