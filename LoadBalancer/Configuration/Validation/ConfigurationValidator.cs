using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what the types of the options cannot: ranges, required values, and that the parts fit each other.</summary>
internal static class ConfigurationValidator
{
    /// <summary>Adds an error for each rule that the options break, and a warning for what is hardly meant.</summary>
    public static void Validate(LoadBalancerOptions options, List<ConfigurationError> errors, List<ConfigurationError> warnings)
    {
        var root = new SectionValidator(errors, warnings, LoadBalancerOptions.SectionName);
        root.RequireDuration(options.ShutdownTimeout, "ShutdownTimeout", isZeroAllowed: true);
        root.Require(options.Listeners.Count > 0, "Listeners", "no listener is defined; expected at least one");
        var addresses = new AddressValidator();
        foreach (var (name, listener) in options.Listeners)
        {
            ListenerValidator.Check(name, listener, options, addresses, root.Below($"Listeners:{name}"));
        }
        if (options.Management is { } management)
        {
            Check(management, addresses, root.Below("Management"));
        }
        if (options.Cluster is { } cluster)
        {
            ClusterValidator.Check(cluster, root.Below("Cluster"));
        }
        if (options.Tracing is { Sample: var share })
        {
            root.Require(share is >= 0 and <= 1, "Tracing:Sample", $"'{share}' is out of range; expected 0 to 1");
        }
        foreach (var (name, limit) in options.RateLimits)
        {
            GuardValidator.Check(limit, root.Below($"RateLimits:{name}"));
        }
        foreach (var (name, authentication) in options.Authentication)
        {
            GuardValidator.Check(authentication, root.Below($"Authentication:{name}"));
        }
        foreach (var (name, pool) in options.Pools)
        {
            PoolValidator.Check(name, pool, options, addresses, root.Below($"Pools:{name}"));
        }
    }

    private static void Check(ManagementOptions management, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(
            section, "Address", AddressValidator.Management, management.Address, "http://127.0.0.1:8081", "http", "https", "unix");
        AddressValidator.CheckMode(section, management.Address, management.SocketMode);
        TlsValidator.Check(management.Address, management, section);
        section.Require(management.Token is null || management.TokenFile is null, "TokenFile",
            "is there beside Token; expected one of the two");
        var isWanted = management.Address is { IsLoopback: false };
        section.Require(!isWanted || management.Token is not null || management.TokenFile is not null, "Token",
            $"is missing; {management.Address} can be reached from other machines, so that anybody could change the pools");
        if (management.Token is { } token)
        {
            section.Require(management.FindTokenError(token) is null, "Token", management.FindTokenError(token) ?? "");
        }
        if (management.TokenFile is { } file)
        {
            var read = SecretFile.TryRead(file, out var reason);
            var error = read is null ? $"'{file}' cannot be read: {reason}"
                : management.FindTokenError(read) is { } wrong ? $"the token in '{file}' {wrong}"
                : null;
            section.Require(error is null, "TokenFile", error ?? "");
        }
    }
}
