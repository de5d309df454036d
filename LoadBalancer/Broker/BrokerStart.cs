namespace LoadBalancer.Broker;

/// <summary>How a broker begins in a process that replaces another one.</summary>
/// <param name="State">The state of the broker there; null where that is not known.</param>
/// <param name="Turn">
/// Completes when that one accepts nothing more: until then nobody may connect here, because a client would not meet its workers.
/// </param>
internal sealed record BrokerStart(BrokerState? State, Lazy<Task> Turn);
