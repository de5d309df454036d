using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Configuration;

/// <summary>What came of reading the configuration.</summary>
/// <param name="Options">The options; only to be used where there is no error.</param>
/// <param name="Errors">Everything that is wrong, in the order of the file.</param>
/// <param name="File">The file that was read, as a full path.</param>
/// <param name="Text">What was in it; null where it could not be read.</param>
/// <param name="Overrides">The words of the command line that override the file.</param>
public sealed record LoadedConfiguration(LoadBalancerOptions Options, IReadOnlyList<ConfigurationError> Errors, string File, string? Text, params string[] Overrides)
{
    /// <summary>Reads the same anew.</summary>
    public LoadedConfiguration Reload() => ConfigurationLoader.Load(File, Overrides);
}
