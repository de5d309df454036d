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
        foreach (var (name, pool) in options.Pools)
        {
            PoolValidator.Check(name, pool, options, addresses, root.Below($"Pools:{name}"));
        }
    }

    private static void Check(ManagementOptions management, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(section, "Address", "listener 'management'", management.Address, "http://127.0.0.1:8081", "http");
        var token = management.Token;
        section.Require(token is null || token.Length > 0 && !token.AsSpan().ContainsAnyExceptInRange('!', '~'), "Token",
            "cannot be sent in a header field; expected letters, digits and signs of ASCII, without blanks");
        section.Require(token is not null || management.Address is null || management.IsLoopback, "Token",
            $"is missing; {management.Address} can be reached from other machines, so that anybody could change the pools");
    }
}
