namespace LoadBalancer.Acme;

/// <summary>How many names may have something in work at once with one account. Another authority's faults take no turns here.</summary>
internal sealed class AuthorityTurns
{
    private const int Most = 4; // an authority may look at a name for minutes

    /// <summary>For orders.</summary>
    public SemaphoreSlim Orders { get; } = new(Most);

    /// <summary>For questions when to renew.</summary>
    public SemaphoreSlim Questions { get; } = new(Most);

    /// <summary>For the account: the first name makes it, the others find it.</summary>
    public SemaphoreSlim Registering { get; } = new(1);
}
