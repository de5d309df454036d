namespace LoadBalancer.Configuration.Options;

/// <summary>Changes of header fields: those of Remove go, then those of Set are replaced, then those of Add are added.</summary>
public sealed record FieldChangeOptions
{
    /// <summary>Fields and their values, such as <c>{client}</c>. A field whose value turns out to be empty is only removed.</summary>
    [Secret]
    public IReadOnlyDictionary<string, string> Set { get; init; } = new Dictionary<string, string>();

    /// <summary>Fields that are added to those of the same name.</summary>
    [Secret]
    public IReadOnlyDictionary<string, string> Add { get; init; } = new Dictionary<string, string>();

    /// <summary>Fields that are removed.</summary>
    public IReadOnlyList<string> Remove { get; init; } = [];

    /// <summary>Whether there is none.</summary>
    internal bool IsEmpty => Set.Count == 0 && Add.Count == 0 && Remove.Count == 0;
}
