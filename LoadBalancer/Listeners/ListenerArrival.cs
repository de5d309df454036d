namespace LoadBalancer.Listeners;

/// <summary>A listener that comes while the node runs.</summary>
/// <param name="Listener">The listener.</param>
/// <param name="After">Those that go and must have ended before it starts: both would use the same workers or ports.</param>
public sealed record ListenerArrival(IListener Listener, IReadOnlyList<IListener> After);
