using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Management;

/// <summary>A listener, as the API shows it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Protocol">What it speaks; <c>Management</c> for the management listener.</param>
/// <param name="Addresses">Where it listens.</param>
/// <param name="Connections">How many connections are open.</param>
/// <param name="Refused">Connections that were closed at once because there were too many.</param>
/// <param name="Certificates">The certificates that it uses.</param>
internal sealed record ListenerView(
    string Name, string Protocol, IReadOnlyList<string> Addresses, int Connections, long Refused,
    IReadOnlyList<CertificateStatus> Certificates)
{
    /// <summary>As the API shows it.</summary>
    public JsonObject ToJson() => new()
    {
        ["name"] = Name,
        ["protocol"] = Protocol,
        ["addresses"] = new JsonArray([.. Addresses.Select(address => (JsonNode)address)]),
        ["openConnections"] = Connections,
        ["refusedConnections"] = Refused,
        ["certificates"] = StatusJson.Certificates(Certificates),
    };
}

/// <summary>A route, as the API shows it beside its counters.</summary>
/// <param name="Match">Which requests it takes.</param>
/// <param name="Action">What becomes of them.</param>
internal sealed record RouteView(JsonObject Match, JsonObject Action);

/// <summary>What the node shows of its configuration, and lets operators change.</summary>
/// <param name="Listeners">Its listeners.</param>
/// <param name="Routes">Its routes, by listener and name.</param>
/// <param name="Configuration">The configuration in use, and how it differs from the file.</param>
/// <param name="FindSettings">The settings of a pool; null where there is none.</param>
/// <param name="ChangeSettings">Changes them as a function says that gets them; says why not, where they cannot be changed.</param>
internal sealed record NodeView(
    Func<IReadOnlyList<ListenerView>> Listeners, Func<IReadOnlyDictionary<(string Listener, string Route), RouteView>> Routes,
    Func<JsonObject> Configuration, Func<string, PoolSettings?> FindSettings,
    Func<string, Func<PoolSettings, (PoolSettings? Settings, ChangeOutcome? Refused)>, Task<ChangeOutcome?>> ChangeSettings);
