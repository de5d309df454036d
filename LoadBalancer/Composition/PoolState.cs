using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Tls;

namespace LoadBalancer.Composition;

/// <summary>
/// What stands around a pool by one set of options. Immutable: a reload makes the next one beside the one that runs, of which it has
/// every part that the new options leave as it is.
/// </summary>
/// <param name="Options">The options.</param>
/// <param name="StickyKey">The key of its sticky sessions; null where it has none.</param>
/// <param name="Trust">Checks the certificates of its https:// backends.</param>
/// <param name="Handler">Holds its connections.</param>
/// <param name="Client">Sends its requests, through the handler.</param>
/// <param name="Forwarder">Forwards requests to it.</param>
/// <param name="Probed">How it is probed; null where it is not.</param>
internal sealed record PoolState(
    PoolOptions Options, byte[]? StickyKey, BackendTrust Trust, HttpMessageHandler Handler, HttpClient Client, HttpForwarder Forwarder,
    ProbedPool? Probed);
