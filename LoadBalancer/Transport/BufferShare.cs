namespace LoadBalancer.Transport;

/// <summary>What one peer has of a <see cref="BufferBudget"/>.</summary>
/// <param name="budget">The budget.</param>
/// <param name="exceeded">Called once if the peer must be disconnected.</param>
internal sealed class BufferShare(BufferBudget budget, Action exceeded)
{
    /// <summary>How many bytes it has; the budget's lock guards this.</summary>
    internal long Bytes;

    /// <summary>Whether nothing of it is counted any more.</summary>
    internal bool IsOver { get; set; }

    /// <summary>Calls what was given for a peer that must be disconnected.</summary>
    internal void Exceeded() => exceeded();

    /// <summary>Changes what it has, by a number of bytes.</summary>
    public void Change(long by) => budget.Change(this, by);

    /// <summary>The peer is gone; nothing of it is counted from now on.</summary>
    public void Leave() => budget.Leave(this);
}
