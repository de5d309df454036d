namespace LoadBalancer.Acme;

/// <summary>What all names whose certificates are got have in common.</summary>
/// <param name="Challenges">Answers the authorities' questions.</param>
/// <param name="Note">Tells operators of a change.</param>
/// <param name="Time">The clock.</param>
/// <param name="Logger">Gets a line for each change.</param>
internal sealed record KeptNameParts(Challenges Challenges, Action<string> Note, TimeProvider Time, ILogger Logger);
