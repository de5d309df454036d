namespace LoadBalancer.Acme;

/// <summary>What all names whose certificates are got have in common.</summary>
/// <param name="Challenges">Answers the authorities' questions.</param>
/// <param name="Note">Tells operators of a change.</param>
/// <param name="Time">The clock.</param>
/// <param name="Logger">Gets a line for each change.</param>
/// <param name="Sharing">What the nodes of the cluster have in common; null where this one is alone.</param>
internal sealed record KeptNameParts(
    Challenges Challenges, Action<string> Note, TimeProvider Time, ILogger Logger, AcmeSharing? Sharing);
