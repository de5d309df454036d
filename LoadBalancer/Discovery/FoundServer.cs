using System.Net;

namespace LoadBalancer.Discovery;

/// <summary>A server that was found by a name.</summary>
/// <param name="Address">Where it is.</param>
/// <param name="Host">The name that has this address: the one that was looked up, or the target of an SRV record.</param>
/// <param name="Port">Where it listens; 0 where only SRV records would tell.</param>
/// <param name="Priority">Those with the lowest number serve; the others wait behind them.</param>
/// <param name="Weight">Its share among those of the same priority, 0 to 65535.</param>
internal sealed record FoundServer(IPAddress Address, string Host, int Port = 0, int Priority = 0, int Weight = 0);
