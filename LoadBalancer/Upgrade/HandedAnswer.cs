namespace LoadBalancer.Upgrade;

/// <summary>What a name of a pool led to.</summary>
internal sealed class HandedAnswer
{
    /// <summary>What becomes of its servers.</summary>
    public string Kind { get; set; } = "";

    /// <summary>The name.</summary>
    public string Name { get; set; } = "";

    /// <summary>The servers.</summary>
    public List<HandedServer>? Servers { get; set; }
}
