using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Diagnostics.Access;

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
            ClusterValidator.Check(cluster, options, root.Below("Cluster"));
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
        var isThere = management.Token is not null || management.TokenFile is not null || management.Tokens.Count > 0;
        section.Require(!isWanted || isThere, "Token",
            $"is missing; {management.Address} can be reached from other machines, so that anybody could change the pools");
        if (management.Token is { } token)
        {
            section.Require(management.FindTokenError(token) is null, "Token", management.FindTokenError(token) ?? "");
        }
        if (management.TokenFile is { } file)
        {
            CheckTokenFile(management, file, section);
        }
        if (management.AuditFile is { } audit)
        {
            var error = audit.Length == 0 ? "is empty; expected a file" : AppendingFile.FindError(audit);
            section.Require(error is null, "AuditFile", $"'{audit}' cannot be written: {error}");
        }
        CheckTokens(management, section);
    }

    private static void CheckTokens(ManagementOptions management, SectionValidator section)
    {
        Dictionary<string, string> users = [];
        if ((management.Token ?? TryRead(management.TokenFile)) is { } known)
        {
            users[known] = ManagementOptions.NameOfToken;
        }
        foreach (var (name, one) in management.Tokens)
        {
            var entry = section.Below($"Tokens:{name}");
            section.Require(name.Length > 0 && !name.Any(char.IsControl) && name != "-", $"Tokens:{name}",
                $"'{name}' is no name of a user; expected a text other than -");
            section.Require(name != ManagementOptions.NameOfToken || !users.ContainsValue(name), $"Tokens:{name}",
                $"'{name}' is the user of Token or TokenFile; expected another name");
            entry.Require(one.TokenFile is { Length: > 0 }, "TokenFile", "is missing; expected a file with the token and nothing else");
            if (one.TokenFile is { Length: > 0 } itsFile)
            {
                CheckTokenFile(management, itsFile, entry);
                var text = TryRead(itsFile) ?? "";
                entry.Require(!users.TryGetValue(text, out var other), "TokenFile",
                    $"the token in '{itsFile}' is that of '{other}' too; expected a token of its own");
                users.TryAdd(text, name);
            }
        }

        static string? TryRead(string? path) => path is null ? null : SecretFile.TryRead(path, out _);
    }

    private static void CheckTokenFile(ManagementOptions management, string file, SectionValidator section)
    {
        var read = SecretFile.TryRead(file, out var reason);
        var error = read is null ? $"'{file}' cannot be read: {reason}"
            : management.FindTokenError(read) is { } wrong ? $"the token in '{file}' {wrong}"
            : null;
        section.Require(error is null, "TokenFile", error ?? "");
    }
}
