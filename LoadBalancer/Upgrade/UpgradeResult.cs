namespace LoadBalancer.Upgrade;

/// <summary>What became of an upgrade.</summary>
/// <param name="Process">The number of the process that serves now in place of this one; null where this one goes on.</param>
/// <param name="Errors">Why this one goes on.</param>
/// <param name="IsRefused">Whether nothing was tried.</param>
internal sealed record UpgradeResult(int? Process, IReadOnlyList<string> Errors, bool IsRefused = false);
