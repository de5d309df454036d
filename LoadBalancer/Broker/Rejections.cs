using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Counts rejected peers, which have lost their connections because of their own errors, and rejected messages. The counts survive a
/// change of the broker's role.
/// </summary>
/// <param name="log">Logs rejected peers.</param>
internal sealed class Rejections(BrokerLog log)
{
    /// <summary>The reason for a client's message that is no request.</summary>
    public const string NotARequest = nameof(NotARequest);

    /// <summary>The reason for a worker's message without a request.</summary>
    public const string NotAnAnswer = nameof(NotAnAnswer);

    /// <summary>The reason for an ALTPING without a usable address.</summary>
    public const string NotAnAddress = nameof(NotAnAddress);

    private readonly ConcurrentDictionary<(string Port, string Reason), long> _counts = new();

    /// <summary>The logger, for background tasks.</summary>
    public ILogger Logger => log.Logger;

    /// <summary>The counts by port (as <see cref="BrokerPorts"/> names it) and by reason.</summary>
    public IReadOnlyList<(string Port, string Reason, long Count)> All =>
        [
            .. _counts.Select(entry => (entry.Key.Port, entry.Key.Reason, entry.Value))
                .OrderBy(entry => entry.Port, StringComparer.Ordinal).ThenBy(entry => entry.Reason, StringComparer.Ordinal),
        ];

    /// <summary>Counts one rejected peer or message.</summary>
    public void Count(string port, string reason) => _counts.AddOrUpdate((port, reason), 1, static (_, count) => count + 1);

    /// <summary>Counts and logs the rejected peers of a port.</summary>
    public Action<ZmtpPeer, ZmtpFault, string> At(string port) => (peer, fault, reason) =>
    {
        Count(port, fault.ToString());
        log.Rejected(port, peer, fault, reason);
    };
}
