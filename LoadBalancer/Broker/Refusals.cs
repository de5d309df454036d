using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Counts what was refused: peers that lost their connections through their own fault, and messages that were out of place. It goes on
/// counting while the broker changes its role.
/// </summary>
/// <param name="log">Told of them.</param>
internal sealed class Refusals(BrokerLog log)
{
    /// <summary>The reason of what a client sent that is no request.</summary>
    public const string NotARequest = nameof(NotARequest);

    /// <summary>The reason of what a worker sent that answers nothing.</summary>
    public const string NotAnAnswer = nameof(NotAnAnswer);

    /// <summary>The reason of an ALTPING that names nobody.</summary>
    public const string NotAnAddress = nameof(NotAnAddress);

    private readonly ConcurrentDictionary<(string Port, string Reason), long> _counts = new();

    /// <summary>For what works in the background.</summary>
    public ILogger Logger => log.Logger;

    /// <summary>How many, by port (as <see cref="BrokerPorts"/> names it) and by reason.</summary>
    public IReadOnlyList<(string Port, string Reason, long Count)> All =>
        [.. _counts.Select(entry => (entry.Key.Port, entry.Key.Reason, entry.Value)).OrderBy(entry => entry.Port, StringComparer.Ordinal).ThenBy(entry => entry.Reason, StringComparer.Ordinal)];

    /// <summary>Counts one.</summary>
    public void Count(string port, string reason) => _counts.AddOrUpdate((port, reason), 1, static (_, count) => count + 1);

    /// <summary>Counts and tells of the peers of a port.</summary>
    public Action<ZmtpPeer, ZmtpFault, string> At(string port) => (peer, fault, reason) =>
    {
        Count(port, fault.ToString());
        log.Refused(port, peer, fault, reason);
    };
}
