namespace LoadBalancer.Composition;

/// <summary>The listeners of a new configuration, ready to be published; see <see cref="NodeListeners.Prepare"/>.</summary>
internal sealed class ListenersChange
{
    /// <summary>Every listener after the change, in the order of the configuration.</summary>
    public List<NodeListener> Next { get; } = [];

    /// <summary>What publishes the change; cannot fail.</summary>
    public List<Action> Publish { get; } = [];

    /// <summary>What disposes of guards that will not be used.</summary>
    public List<Action> Discard { get; } = [];

    /// <summary>The listeners that go; known when the change is published.</summary>
    public List<NodeListener> Gone { get; } = [];

    /// <summary>The listeners that were made for it, and come.</summary>
    public List<NodeListener> Made { get; } = [];
}
