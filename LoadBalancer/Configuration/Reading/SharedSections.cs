using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// The sections that a configuration which was pushed to the cluster replaces in the file of each node. Of a listener that both have, the
/// address is the node's own. All of it works on the settings by their paths, such as <c>LoadBalancer:Pools:web:Policy</c>.
/// </summary>
internal static class SharedSections
{
    private const string Prefix = LoadBalancerOptions.SectionName + ":";
    private const string Listeners = Prefix + nameof(LoadBalancerOptions.Listeners) + ":";

    /// <summary>Their names.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        nameof(LoadBalancerOptions.Pools), nameof(LoadBalancerOptions.Listeners), nameof(LoadBalancerOptions.RateLimits),
        nameof(LoadBalancerOptions.Authentication),
    ];

    /// <summary>Whether a path leads to one of them, or into it.</summary>
    public static bool Has(string path) => Names.Any(name => IsIn(name, path));

    /// <summary>The settings of a node: those that were pushed, and the others from its file.</summary>
    public static Dictionary<string, string?> Merge(IReadOnlyDictionary<string, string?> file, IReadOnlyDictionary<string, string?> pushed)
    {
        var merged = file.Where(setting => !Has(setting.Key)).Concat(pushed.Where(setting => Has(setting.Key)))
            .ToDictionary(StringComparer.OrdinalIgnoreCase);
        foreach (var (path, address) in file.Where(setting => IsOwnAddress(setting.Key, file, pushed)))
        {
            merged[path] = address;
        }
        return merged;
    }

    /// <summary>Whether a setting is the address of a listener that both have: then it is the one of the file that counts.</summary>
    public static bool IsOwnAddress(string path, IReadOnlyDictionary<string, string?> file, IReadOnlyDictionary<string, string?> pushed) =>
        path.StartsWith(Listeners, StringComparison.OrdinalIgnoreCase)
        && path[Listeners.Length..].Split(':') is [var name, var key]
        && key.Equals(nameof(ListenerOptions.Address), StringComparison.OrdinalIgnoreCase)
        && pushed.ContainsKey(Listeners + name) && file.GetValueOrDefault(path) is not null;

    /// <summary>What a file says that does not count, because something was pushed.</summary>
    public static Dictionary<string, string?> Ignored(
        IReadOnlyDictionary<string, string?> file, IReadOnlyDictionary<string, string?> pushed) =>
        file.Where(setting => Has(setting.Key) && !IsOwnAddress(setting.Key, file, pushed)).ToDictionary(StringComparer.OrdinalIgnoreCase);

    /// <summary>In which of the sections two files say something else.</summary>
    public static IReadOnlyList<string> Changed(IReadOnlyDictionary<string, string?> before, IReadOnlyDictionary<string, string?> now) =>
        [.. Names.Where(name => Differ(before, now, name) || Differ(now, before, name))];

    /// <summary>What was pushed that does not count, because it is each node's own.</summary>
    public static IEnumerable<string> Unused(IEnumerable<string> pushed) => pushed.Where(path =>
        path.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase) && !path[Prefix.Length..].Contains(':', StringComparison.Ordinal)
        && !Has(path));

    private static bool Differ(IReadOnlyDictionary<string, string?> here, IReadOnlyDictionary<string, string?> there, string name) =>
        here.Any(setting => IsIn(name, setting.Key)
            && !(there.TryGetValue(setting.Key, out var other) && other == setting.Value));

    private static bool IsIn(string name, string path) =>
        path.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase) && path.AsSpan(Prefix.Length) is var rest
        && rest.StartsWith(name, StringComparison.OrdinalIgnoreCase) && (rest.Length == name.Length || rest[name.Length] == ':');
}
