namespace LoadBalancer.Configuration.Options;

/// <summary>
/// The setting is a path, or a map with paths. Paths that are not absolute are looked for from the directory of the configuration file.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class BesideConfigurationAttribute : Attribute;
