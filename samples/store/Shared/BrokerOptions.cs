using System.CommandLine;
using System.Net;

namespace Store;

/// <summary>What workers and clients are told of brokers on their command lines.</summary>
internal sealed class BrokerOptions
{
    private readonly Option<IPAddress> _main = Address("--main", "Where the load balancer is.", IPAddress.Loopback);
    private readonly Option<IPAddress> _alternative = Address("--alternative", "Where its alternative is, for the time before the load balancer has said so.", null);
    private readonly Option<int> _portOffset = new("--port-offset") { Description = "What is added to each port: 1000 for 6550, 6560, …", HelpName = "N" };
    private readonly Option<double> _timeout = new("--peer-timeout")
    {
        Description = "After how many seconds without HCHECK to go to the alternative.",
        HelpName = "S",
        DefaultValueFactory = _ => 5,
    };

    /// <summary>Adds them to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { _main, _alternative, _portOffset, _timeout })
        {
            command.Add(option);
        }
    }

    /// <summary>The ports, as the command line has them.</summary>
    public StorePorts Ports(ParseResult parsed) => new(parsed.GetValue(_portOffset));

    /// <summary>Follows the brokers of the command line.</summary>
    public BrokerFollower Follow(ParseResult parsed, Action<string> say) => new(
        parsed.GetRequiredValue(_main), parsed.GetValue(_alternative), Ports(parsed), TimeSpan.FromSeconds(parsed.GetValue(_timeout)), say, TimeProvider.System);

    private static Option<IPAddress> Address(string name, string description, IPAddress? usual) => new(name)
    {
        Description = description,
        HelpName = "IP",
        DefaultValueFactory = _ => usual!,
        CustomParser = result =>
        {
            if (!IPAddress.TryParse(result.Tokens[0].Value, out var address))
            {
                result.AddError($"{name}: '{result.Tokens[0].Value}' is not an IP address");
            }
            return address;
        },
    };
}
