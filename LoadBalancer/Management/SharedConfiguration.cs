using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>The configuration that the nodes of a cluster share, as the API shows and changes it.</summary>
/// <param name="Show">The one that was pushed last, with its text; null where none was.</param>
/// <param name="History">Those that are remembered.</param>
/// <param name="Push">Pushes a text.</param>
/// <param name="RollBack">Pushes the one of that number again.</param>
internal sealed record SharedConfiguration(
    Func<JsonObject?> Show, Func<JsonObject> History, Func<string, ManagementUser, Task<ChangeOutcome>> Push,
    Func<long, ManagementUser, Task<ChangeOutcome>> RollBack);
