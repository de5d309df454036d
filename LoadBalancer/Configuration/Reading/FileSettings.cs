namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// The settings of the file as a source of the framework's configuration. The framework's own source goes through all settings for the
/// children of each section, so that ten thousand backends took a quarter of a minute.
/// </summary>
internal sealed class FileSettings : ConfigurationProvider, IConfigurationSource
{
    private readonly Dictionary<string, HashSet<string>> _children = new(StringComparer.OrdinalIgnoreCase); // by the path of their section

    /// <summary>Takes the settings.</summary>
    /// <param name="settings">The values by their paths, such as <c>LoadBalancer:Pools:web:Policy</c>.</param>
    public FileSettings(IReadOnlyDictionary<string, string?> settings)
    {
        foreach (var (path, value) in settings)
        {
            Data[path] = value;
            AddToParents(path);
        }
    }

    /// <inheritdoc/>
    public IConfigurationProvider Build(IConfigurationBuilder builder) => this;

    /// <inheritdoc/>
    public override IEnumerable<string> GetChildKeys(IEnumerable<string> earlierKeys, string? parentPath)
    {
        List<string> keys = [.. earlierKeys, .. _children.GetValueOrDefault(parentPath ?? "") ?? []];
        keys.Sort(ConfigurationKeyComparer.Instance);
        return keys;
    }

    private void AddToParents(string path)
    {
        while (true)
        {
            var end = path.LastIndexOf(ConfigurationPath.KeyDelimiter[0]);
            var (parent, key) = end < 0 ? ("", path) : (path[..end], path[(end + 1)..]);
            var isKnown = _children.TryGetValue(parent, out var siblings);
            _children[parent] = siblings ??= new(StringComparer.OrdinalIgnoreCase);
            siblings.Add(key);
            if (isKnown || parent.Length == 0)
            {
                return; // The section itself has its parent already.
            }
            path = parent;
        }
    }
}
