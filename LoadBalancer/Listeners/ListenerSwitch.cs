namespace LoadBalancer.Listeners;

/// <summary>A listener goes, or comes, or one takes the place of another.</summary>
/// <param name="Old">The one that goes; null where there was none.</param>
/// <param name="New">Gives the one that comes, when it is to start; null where there is none.</param>
/// <param name="IsInTurn">Whether the new one starts only when the old one has ended: both would use the same workers.</param>
public sealed record ListenerSwitch(IListener? Old, Func<IListener>? New, bool IsInTurn = false);
