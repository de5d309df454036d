namespace LoadBalancer.Configuration.Options;

/// <summary>
/// The setting is, or may have in it, something that not everybody who sees the configuration may know. Of a map the names are shown.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SecretAttribute : Attribute
{
    /// <summary>Whether it is only what comes after a <c>?</c>, as in an address. Default false.</summary>
    public bool IsQuery { get; init; }
}
