using System.Net;

namespace LoadBalancer.Broker;

/// <summary>What decides which broker of a cluster serves: a lease that only one node has at a time.</summary>
/// <param name="Begin">Wants the lease from now on; what is given is called whenever it may have come or gone.</param>
/// <param name="IsHeld">Whether this node has it now. Asked before each thing that only a main does; waits for nothing, and lets the broker
/// step down where it has just ended.</param>
/// <param name="YieldAsync">Gives it back for a while, because this node cannot serve.</param>
/// <param name="ReleaseAsync">Gives it back for good, when nothing is done any more. It may be called again.</param>
/// <param name="Alternative">Another living node that would take it; null where there is none.</param>
/// <param name="HandOn">Another process goes on with it: it is not given back.</param>
internal sealed record MainLease(
    Action<Action> Begin, Func<bool> IsHeld, Func<Task> YieldAsync, Func<Task> ReleaseAsync, Func<IPAddress?> Alternative, Action HandOn);
