using System.Text.Json.Nodes;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>What operators can change of a backend.</summary>
/// <param name="Address">Its address.</param>
/// <param name="Weight">Its weight.</param>
/// <param name="AdminState">Its admin state.</param>
internal sealed record BackendSettings(string Address, int Weight, AdminState AdminState)
{
    /// <summary>Those of a backend now.</summary>
    public static BackendSettings Of(Backend backend) => new($"{backend.Address}", backend.Weight, backend.AdminState);

    /// <summary>Reads what <see cref="ToJson"/> has written; null where that is something else.</summary>
    public static BackendSettings? Read(JsonObject? json) =>
        json is not null && Enum.TryParse<AdminState>(json["adminState"]?.ToString(), out var state) && Enum.IsDefined(state)
        && json["weight"] is JsonValue number && number.TryGetValue<int>(out var weight) && json["address"]?.ToString() is { } address
            ? new BackendSettings(address, weight, state) : null;

    /// <summary>As the API shows them.</summary>
    public JsonObject ToJson() => new() { ["address"] = Address, ["weight"] = Weight, ["adminState"] = $"{AdminState}" };
}
