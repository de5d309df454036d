namespace LoadBalancer.Tests.Simulation;

/// <summary>A hundred servers of 4 slots each that need 100 ms for a request, except as said.</summary>
internal enum Scenario
{
    /// <summary>All alike.</summary>
    Same,

    /// <summary>Half of them need twice as long.</summary>
    Speed2,

    /// <summary>A quarter of them needs four times as long.</summary>
    Speed4,

    /// <summary>Half of them have 6 slots, the others 2.</summary>
    Slots,

    /// <summary>One needs ten times as long.</summary>
    OneSlow,

    /// <summary>Each needs three times as long for 2 s, in a fifth of the time; at random (exponential).</summary>
    Antagonist,

    /// <summary>Each stops for 0.3 s, every 10 s on average.</summary>
    Gc,
}
