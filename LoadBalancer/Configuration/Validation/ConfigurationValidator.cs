using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Adds an error unless the condition holds.</summary>
internal delegate void Requirement(bool condition, string path, string message);

/// <summary>Checks what the types of the options cannot: ranges, required values, and that the parts fit each other.</summary>
internal static class ConfigurationValidator
{
    private const string Root = LoadBalancerOptions.SectionName;

    // The framework's timers end at 2^32 - 2 ms; anything near that is a typing error anyway.
    private static readonly TimeSpan LongestDuration = TimeSpan.FromDays(24);

    /// <summary>Adds an error for each rule that the options break.</summary>
    public static void Validate(LoadBalancerOptions options, List<ConfigurationError> errors)
    {
        // Text that could not be read has been reported and left a default behind: no second error for the same key.
        var reported = errors.Select(error => error.Path).ToHashSet(StringComparer.OrdinalIgnoreCase);
        void Require(bool condition, string path, string message)
        {
            if (!condition && reported.Add($"{Root}:{path}"))
            {
                errors.Add(new($"{Root}:{path}", message));
            }
        }

        RequireDuration(Require, options.ShutdownTimeout, "ShutdownTimeout", zeroAllowed: true);
        Require(options.Listeners.Count > 0, "Listeners", "no listener is defined; expected at least one");
        var addresses = new AddressValidator(Require);
        foreach (var (name, listener) in options.Listeners)
        {
            ListenerValidator.Check(name, listener, options, addresses, Require);
        }
        if (options.Management is { } management)
        {
            addresses.Check("Management:Address", "listener 'management'", management.Address, "http://127.0.0.1:8081", "http");
            Require(management.Token is null || management.Token.Length > 0 && !management.Token.AsSpan().ContainsAnyExceptInRange('!', '~'), "Management:Token",
                "cannot be sent in a header field; expected letters, digits and signs of ASCII, without blanks");
            Require(management.Token is not null || management.Address is null || management.IsLoopback, "Management:Token",
                $"is missing; {management.Address} can be reached from other machines, so that anybody could change the pools");
        }
        foreach (var (name, pool) in options.Pools)
        {
            PoolValidator.Check($"Pools:{name}", name, pool, options, addresses, Require);
        }
    }

    /// <summary>Requires a duration that makes sense.</summary>
    internal static void RequireDuration(Requirement require, TimeSpan value, string path, bool zeroAllowed = false) =>
        require((value > TimeSpan.Zero || zeroAllowed && value == TimeSpan.Zero) && value <= LongestDuration, path,
            $"'{value}' is out of range; expected {(zeroAllowed ? "00:00:00" : "more than 00:00:00")} to {LongestDuration}");
}
