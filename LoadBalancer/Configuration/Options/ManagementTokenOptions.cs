namespace LoadBalancer.Configuration.Options;

/// <summary>What a token of the management listener lets its user do.</summary>
public enum ManagementRole
{
    /// <summary>Read everything, change nothing.</summary>
    Viewer,

    /// <summary>Everything.</summary>
    Operator,
}

/// <summary>A token of the management listener; its name is the user's in logs, events and the audit.</summary>
public sealed record ManagementTokenOptions
{
    /// <summary>
    /// A file with the token, and nothing else. A changed file is read again within seconds. Relative to the configuration file. Required.
    /// </summary>
    [BesideConfiguration]
    public string TokenFile { get; init; } = null!;

    /// <summary>What it lets its user do: Viewer (the default) reads, Operator changes too.</summary>
    public ManagementRole Role { get; init; }
}
