using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Broker;

/// <summary>The state of a broker.</summary>
internal enum BrokerState
{
    /// <summary>
    /// It finds out whether the other broker serves. Meanwhile it holds the HCHECK port, so that the other one finds it too.
    /// </summary>
    Asking,

    /// <summary>It is the alternative of a main from which it has received nothing since it was started.</summary>
    Waiting,

    /// <summary>It is the alternative of a main from which it has received HCHECK.</summary>
    Watching,

    /// <summary>It is the main.</summary>
    Serving,
}

/// <summary>What can happen to a broker.</summary>
internal enum BrokerEvent
{
    /// <summary>HCHECK of the other broker was received: that one serves.</summary>
    Heard,

    /// <summary>Nothing was received from it for <see cref="MainAlternative.SilenceTimeout"/>.</summary>
    Silent,

    /// <summary>While asking: nothing listens at the other broker's HCHECK port.</summary>
    Unreachable,

    /// <summary>This process was suspended for longer than a peer may be silent: the other broker may have taken over meanwhile.</summary>
    Slept,

    /// <summary>In a cluster: this node has the lease of the main.</summary>
    Won,

    /// <summary>In a cluster: it has it no more, or not for sure.</summary>
    Lost,
}

/// <summary>
/// Decides which of two brokers serves: the Binary Star of the ZeroMQ guide (chapter 4), as a state machine without clock, socket or
/// memory.
/// <code>
///   state \ event   Heard        Silent       Unreachable   Slept       Won        Lost
///   Asking          Watching     Serving      Serving       Asking      Asking     Asking
///   Waiting         Watching     Waiting      Waiting       Waiting     Serving    Waiting
///   Watching        Watching     Asking       Watching      Watching    Watching   Watching
///   Serving         Serving      Serving      Serving       Asking      Serving    Waiting
/// </code>
/// A configured main begins with Asking if it knows another broker, else with Serving; an alternative begins with Waiting. In a cluster
/// every broker begins with Waiting, and only the last two columns happen: the lease decides.
/// <para>
/// There is no automatic failback: a broker that serves goes on serving when the other one comes back, and that one finds out and watches.
/// Both serve only if they cannot reach each other. When they can again, both go on and log an error, and an operator stops one of them.
/// An alternative that has never received anything from its main does not serve: it may be the one that is cut off from the network.
/// </para>
/// <para>
/// If both ask at the same time, at least one sees the other, because each holds its HCHECK port before it probes the other's port. Then
/// it waits, the alternative for longer (<see cref="SilenceTimeout"/>), so that the main serves first and is heard in time.
/// </para>
/// </summary>
internal static class MainAlternative
{
    /// <summary>The first state of a broker.</summary>
    /// <param name="role">The configured role.</param>
    /// <param name="knowsAnother">Whether the address of another broker is configured.</param>
    /// <param name="isInCluster">Whether a lease decides.</param>
    public static BrokerState Begin(BrokerRole role, bool knowsAnother, bool isInCluster = false) =>
        isInCluster || role == BrokerRole.Alternative ? BrokerState.Waiting
        : knowsAnother ? BrokerState.Asking
        : BrokerState.Serving;

    /// <summary>The next state.</summary>
    public static BrokerState Next(BrokerState state, BrokerEvent what) => (state, what) switch
    {
        (BrokerState.Waiting, BrokerEvent.Won) => BrokerState.Serving,
        (BrokerState.Serving, BrokerEvent.Lost) => BrokerState.Waiting,
        (BrokerState.Serving, BrokerEvent.Slept) => BrokerState.Asking,
        (BrokerState.Serving, _) => BrokerState.Serving,
        (_, BrokerEvent.Heard) => BrokerState.Watching,
        (BrokerState.Asking, BrokerEvent.Silent or BrokerEvent.Unreachable) => BrokerState.Serving,
        (BrokerState.Watching, BrokerEvent.Silent) => BrokerState.Asking,
        _ => state,
    };

    /// <summary>The silence after which <see cref="BrokerEvent.Silent"/> happens; null if silence means nothing in this state.</summary>
    public static TimeSpan? SilenceTimeout(BrokerState state, BrokerRole role, TimeSpan publishInterval, TimeSpan peerTimeout) =>
        state switch
        {
            // Half an interval apart is enough: a broker that serves publishes at once, and the one that asks is connected by then.
            BrokerState.Asking => publishInterval * (role == BrokerRole.Main ? 2.5 : 3),
            BrokerState.Watching => peerTimeout,
            _ => null,
        };
}
