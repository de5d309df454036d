using System.CommandLine;
using System.Net;
using Samples;

namespace Store;

/// <summary>The options of workers and clients that say where the load balancers are.</summary>
internal sealed class BrokerOptions
{
    private readonly Option<IPAddress> _main = Address("--main", "The load balancer's address.");
    private readonly Option<IPAddress> _alternative = Address(
        "--alternative", "Its alternative's address, for the time until the load balancer has announced it.");
    private readonly Option<int> _portOffset = new("--port-offset")
    {
        Description = "Is added to each port: 1000 for 6550, 6560, …",
        HelpName = "N",
    };
    private readonly Option<double> _timeout = CommandLine.Seconds(
        "--peer-timeout", "After how many seconds without HCHECK to go to the alternative.", defaultValue: 5);

    public BrokerOptions() => _main.DefaultValueFactory = _ => IPAddress.Loopback;

    /// <summary>Adds them to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { _main, _alternative, _portOffset, _timeout })
        {
            command.Add(option);
        }
    }

    /// <summary>The load balancers' ports.</summary>
    public StorePorts Ports(ParseResult options) => new(options.GetValue(_portOffset));

    /// <summary>Follows the load balancers of the command line.</summary>
    public BrokerFollower Follow(ParseResult options, Action<string> print) => new(
        options.GetRequiredValue(_main),
        options.GetValue(_alternative),
        Ports(options),
        TimeSpan.FromSeconds(options.GetValue(_timeout)),
        print,
        TimeProvider.System);

    private static Option<IPAddress> Address(string name, string description) => CommandLine.Value(
        "an IP address", name, "IP", description, (string text, out IPAddress value) => IPAddress.TryParse(text, out value!));
}
