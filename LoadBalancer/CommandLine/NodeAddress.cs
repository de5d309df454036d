using System.CommandLine;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.CommandLine;

/// <summary>
/// Finds the management listener for a command: what the command line says, else what the node's configuration file says, else the
/// default address.
/// </summary>
internal sealed class NodeAddress(Option<string> config)
{
    /// <summary>The environment variable with the token.</summary>
    public const string TokenVariable = "LOADBALANCER_TOKEN";

    private const string Default = "http://127.0.0.1:8081";

    private readonly Option<Uri?> _management = new("--management")
    {
        Description = $"Where the management listener is; by default what FILE says, without one {Default}.",
        HelpName = "URL",
        CustomParser = result =>
        {
            if (EndpointAddress.TryParse(result.Tokens[0].Value, out var address, out _) && address.IsUnix)
            {
                return new Uri($"{address}");
            }
            if (Uri.TryCreate(result.Tokens[0].Value, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https")
            {
                return uri;
            }
            result.AddError($"--management: '{result.Tokens[0].Value}' is not an address; expected for example {Default}");
            return null;
        },
    };

    private readonly Option<string> _token = new("--token")
    {
        Description = $"Its token. Other users of this machine may see it; {TokenVariable} in the environment is safer.",
        HelpName = "TOKEN",
    };

    /// <summary>Adds the options that say where it is.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(_management);
        command.Options.Add(_token);
    }

    /// <summary>Makes a client for it.</summary>
    /// <exception cref="CommandException">The configuration file cannot be used for this.</exception>
    public ManagementClient Connect(ParseResult parsed, TimeSpan? silence = null)
    {
        var (known, whyNot) = parsed.GetValue(config) is { } file ? Read(file) : default;
        if (whyNot is not null && parsed.GetValue(_management) is null)
        {
            throw new CommandException(CommandException.Refused, whyNot);
        }
        var token = parsed.GetValue(_token) ?? Environment.GetEnvironmentVariable(TokenVariable) ?? TokenOf(known);
        return new ManagementClient(
            parsed.GetValue(_management) ?? new Uri(known is null ? Default : AddressOf(known)), token, silence);
    }

    // What is wrong with other sections is nothing to a command: 'reload' is there to ask the node about it.
    private static (ManagementOptions? Management, string? WhyNot) Read(string file)
    {
        var loaded = ConfigurationLoader.Load(file);
        var errors = loaded.Options.Management is null ? loaded.Errors : [.. loaded.Errors.Where(error => IsOfManagement(error.Path))];
        return errors.Count > 0 ? (null, $"{errors[0]}; correct '{file}', or say with --management where the node is")
            : loaded.Options.Management is { } management ? (management, null)
            : (null, $"'{file}' has no section Management, without which a node cannot be asked anything");
    }

    private static bool IsOfManagement(string path) =>
        path.StartsWith($"{LoadBalancerOptions.SectionName}:{nameof(LoadBalancerOptions.Management)}", StringComparison.OrdinalIgnoreCase);

    private static string AddressOf(ManagementOptions management) =>
        (management.Address.Host == "*" ? management.Address with { Host = "127.0.0.1" } : management.Address).ToString();

    private static string? TokenOf(ManagementOptions? management)
    {
        // Of several, one that may change something.
        var file = management?.TokenFile ?? (management?.Token is null
            ? management?.Tokens.Values.OrderByDescending(one => one.Role).FirstOrDefault()?.TokenFile : null);
        if (file is null)
        {
            return management?.Token;
        }
        return SecretFile.TryRead(file, out var reason) ?? throw new CommandException(
            CommandException.Refused, $"the token in '{file}' cannot be read: {reason}; give it with --token or {TokenVariable}");
    }
}
