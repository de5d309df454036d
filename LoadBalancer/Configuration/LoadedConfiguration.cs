using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Configuration;

/// <summary>What reading the configuration gave.</summary>
/// <param name="Options">The options; they must not be used where there is an error.</param>
/// <param name="Errors">Everything that is wrong, in the order of the file.</param>
/// <param name="File">The file that was read, as a full path.</param>
/// <param name="Text">What was in it; null where it could not be read.</param>
/// <param name="Overrides">The words of the command line that override the file.</param>
public sealed record LoadedConfiguration(
    LoadBalancerOptions Options, IReadOnlyList<ConfigurationError> Errors, string File, string? Text, params string[] Overrides)
{
    /// <summary>What can be used, but is hardly meant, in the order of the file.</summary>
    public IReadOnlyList<ConfigurationError> Warnings { get; init; } = [];

    /// <summary>What was pushed to the cluster, and stands for some sections of the file; null for nothing.</summary>
    public PushedText? Pushed { get; init; }

    /// <summary>What the file says that does not count because of that, by path.</summary>
    internal IReadOnlyDictionary<string, string?> Ignored { get; init; } = new Dictionary<string, string?>();

    /// <summary>Reads the same file again.</summary>
    /// <param name="pushed">What stands for some of its sections; null for nothing.</param>
    public LoadedConfiguration Reload(PushedText? pushed) => ConfigurationLoader.Load(File, pushed, Overrides);
}
