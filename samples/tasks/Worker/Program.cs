using System.CommandLine;
using System.CommandLine.Invocation;
using System.Net.Sockets;
using Worker;

var name = new Option<string>("--name") { Description = "What it calls itself; no other worker may have the same name.", HelpName = "NAME", DefaultValueFactory = _ => $"worker_{Guid.NewGuid():N}"[..11] };
var host = new Option<string>("--host") { Description = "Where the load balancer is.", HelpName = "HOST", DefaultValueFactory = _ => "127.0.0.1" };
var port = Number("--port", "Its port for workers.", usual: 8889, most: 65_535);
var capacity = Number("--capacity", "How many tasks it takes at once.", usual: 1, most: 10_000);
var quiet = new Option<bool>("--quiet") { Description = "Says nothing of single tasks." };

var root = new RootCommand("Registers with the load balancer and works on what it is given: sums of numbers. Connects again when the connection is lost.") { name, host, port, capacity, quiet };
root.SetAction(async (parsed, cancellationToken) =>
{
    var connection = new BalancerConnection(parsed.GetRequiredValue(name), parsed.GetRequiredValue(host), parsed.GetValue(port), parsed.GetValue(capacity), parsed.GetValue(quiet));
    while (!cancellationToken.IsCancellationRequested)
    {
        try
        {
            await connection.WorkAsync(SumTask.Process, cancellationToken);
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            connection.Say($"Sin conexión con el balanceador: {e.Message}");
        }
        await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
    return 0;
});

var commandLine = root.Parse(args);
if (commandLine.Action is ParseErrorAction mistakes)
{
    mistakes.ShowHelp = false;
}
return await commandLine.InvokeAsync();

static Option<int> Number(string name, string description, int usual, int most) => new(name)
{
    Description = $"{description} 1 to {most}.",
    HelpName = "N",
    DefaultValueFactory = _ => usual,
    CustomParser = result =>
    {
        if (!int.TryParse(result.Tokens[0].Value, out var value) || value < 1 || value > most)
        {
            result.AddError($"{name}: '{result.Tokens[0].Value}' is out of range; expected 1 to {most}");
        }
        return value;
    },
};
