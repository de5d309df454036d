using LoadBalancer.Configuration.Options;
using LoadBalancer.Files;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Tls;

namespace LoadBalancer.Composition;

/// <summary>
/// The parts around a pool for one set of options. Immutable: a reload makes the next state beside the present one, and reuses each part
/// that the new options do not change.
/// </summary>
/// <param name="Options">The options.</param>
/// <param name="List">The file with further backends; null where the options name none.</param>
/// <param name="StickyKey">The key of its sticky sessions; null where it has none.</param>
/// <param name="Trust">Checks the certificates of its https:// backends.</param>
/// <param name="Handler">Holds its connections.</param>
/// <param name="Client">Sends its requests, through the handler.</param>
/// <param name="Forwarder">Forwards requests to it.</param>
/// <param name="Probed">How it is probed; null without probes.</param>
internal sealed record PoolState(
    PoolOptions Options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? List, StickySecret? StickyKey, BackendTrust Trust,
    HttpMessageHandler Handler, HttpClient Client, HttpForwarder Forwarder, ProbedPool? Probed)
{
    /// <summary>
    /// Whether the members stay as they are, with what operators have done to them: an operator has changed the options, not the file.
    /// </summary>
    public bool KeepsMembers { get; init; }
}
