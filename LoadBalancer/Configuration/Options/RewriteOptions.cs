namespace LoadBalancer.Configuration.Options;

/// <summary>A replacement in the path of a request, as it was sent.</summary>
public sealed record RewriteOptions
{
    /// <summary>A regular expression; where it does not match, the path stays. Required.</summary>
    public string Pattern { get; init; } = null!;

    /// <summary>What the part that it matches becomes: text, <c>$1</c> to <c>$9</c>, and values such as <c>{host}</c>. Required.</summary>
    public string To { get; init; } = null!;
}
