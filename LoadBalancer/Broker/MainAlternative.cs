using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Broker;

/// <summary>What a broker is doing at the moment.</summary>
internal enum BrokerState
{
    /// <summary>It finds out whether the other one serves, and holds the HCHECK port meanwhile, so that the other one finds it too.</summary>
    Asking,

    /// <summary>It is the alternative of a main that it has not heard of since it was started.</summary>
    Waiting,

    /// <summary>It is the alternative of a main that it has heard of.</summary>
    Watching,

    /// <summary>It is the main.</summary>
    Serving,
}

/// <summary>What can happen to it.</summary>
internal enum BrokerEvent
{
    /// <summary>The other one has published HCHECK: it serves.</summary>
    Heard,

    /// <summary>Nothing was heard of it for as long as <see cref="MainAlternative.Patience"/> says.</summary>
    Silent,

    /// <summary>While asking: nobody listens at the other one's HCHECK port.</summary>
    NobodyThere,

    /// <summary>This process has stood still for longer than a peer may be silent: the other one may have taken over meanwhile.</summary>
    Slept,
}

/// <summary>
/// Who of two brokers serves: the Binary Star of the ZeroMQ guide (chapter 4), as a state machine without a clock, a socket or a memory.
/// <code>
///   state \ event   Heard        Silent       NobodyThere   Slept
///   Asking          Watching     Serving      Serving       Asking
///   Waiting         Watching     Waiting      Waiting       Waiting
///   Watching        Watching     Asking       Watching      Watching
///   Serving         Serving      Serving      Serving       Asking
/// </code>
/// A configured main begins with Asking where it knows of another one and with Serving where it does not, an alternative with Waiting.
/// <para>
/// Failback is never by accident: who serves goes on serving whoever else comes, and a main that comes back finds that out and watches.
/// Only where the two cannot reach each other may both serve; when they can again, both go on, and say so in their logs: an operator
/// stops one. An alternative that has never heard its main does not serve, for it may as well be cut off as alone.
/// </para>
/// <para>
/// Of two that ask at the same time one at least sees the other, for each holds its HCHECK port before it looks for the other's. It
/// then listens, the alternative for longer (<see cref="Patience"/>), so that the main goes first and is heard in time.
/// </para>
/// </summary>
internal static class MainAlternative
{
    /// <summary>What a broker begins as.</summary>
    /// <param name="role">As configured.</param>
    /// <param name="knowsAnother">Whether it knows where another one may be.</param>
    public static BrokerState Begin(BrokerRole role, bool knowsAnother) =>
        role == BrokerRole.Alternative ? BrokerState.Waiting : knowsAnother ? BrokerState.Asking : BrokerState.Serving;

    /// <summary>What becomes of it.</summary>
    public static BrokerState Next(BrokerState state, BrokerEvent what) => (state, what) switch
    {
        (BrokerState.Serving, BrokerEvent.Slept) => BrokerState.Asking,
        (BrokerState.Serving, _) => BrokerState.Serving,
        (_, BrokerEvent.Heard) => BrokerState.Watching,
        (BrokerState.Asking, BrokerEvent.Silent or BrokerEvent.NobodyThere) => BrokerState.Serving,
        (BrokerState.Watching, BrokerEvent.Silent) => BrokerState.Asking,
        _ => state,
    };

    /// <summary>For how long it hears nothing before it is <see cref="BrokerEvent.Silent"/>; null where that says nothing.</summary>
    public static TimeSpan? Patience(BrokerState state, BrokerRole role, TimeSpan publishInterval, TimeSpan peerTimeout) => state switch
    {
        // Half an interval apart is enough: who serves publishes at once, and who asks is connected by then.
        BrokerState.Asking => publishInterval * (role == BrokerRole.Main ? 2.5 : 3),
        BrokerState.Watching => peerTimeout,
        _ => null,
    };
}
