using System.Text.Json.Nodes;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What became of a change that an operator wanted.</summary>
/// <param name="Status">The status of the answer.</param>
internal sealed record ChangeOutcome(int Status)
{
    /// <summary>Makes the body of the answer, with the entry of the audit; null where it is <see cref="Error"/>.</summary>
    public Func<AuditEntry, JsonNode>? Body { get; init; }

    /// <summary>Why nothing was changed, in a line; null where something was.</summary>
    public string? Error { get; init; }

    /// <summary>The settings before.</summary>
    public JsonObject? From { get; init; }

    /// <summary>The settings after that.</summary>
    public JsonObject? To { get; init; }

    /// <summary>The entry of the audit, where there is one already; null: one is to be added.</summary>
    public AuditEntry? Entry { get; init; }

    /// <summary>Nothing was changed.</summary>
    public static ChangeOutcome Refused(int status, string error) => new(status) { Error = error };

    /// <summary>Something was changed.</summary>
    /// <param name="from">The settings before; null where there were none.</param>
    /// <param name="to">The settings now; null where there are none any more.</param>
    /// <param name="body">The answer; made after the change was told to the readers of events.</param>
    /// <param name="status">Its status.</param>
    public static ChangeOutcome Done(JsonObject? from, JsonObject? to, Func<AuditEntry, JsonNode> body, int status = Status200OK) =>
        new(status) { From = from, To = to, Body = body };
}
