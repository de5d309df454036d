using System.CommandLine;
using System.CommandLine.Invocation;
using Store;

const string Menu = """
    LIST          all products
    QUERY <id>    one of them
    BUY <id>      buys one, if there is any left
    PING          is anybody there?
    EXIT          ends
    """;

var brokers = new BrokerOptions();
var workerTimeout = new Option<double>("--worker-timeout") { Description = "After how many seconds without a sign of life of a worker to send a request again.", HelpName = "S", DefaultValueFactory = _ => 10 };
var test = new Option<int>("--test") { Description = "Test mode: sends so many requests instead of reading commands, and says how it went.", HelpName = "N" };
var clients = new Option<int>("--clients") { Description = "Test mode: how many clients at once.", HelpName = "N", DefaultValueFactory = _ => 4 };
var pause = new Option<double>("--pause") { Description = "Test mode: how many seconds each client pauses after an answer.", HelpName = "S" };
var command = new Option<string?>("--command") { Description = "Test mode: what all of them ask; without it a bit of everything.", HelpName = "COMMAND" };

var root = new RootCommand("A client of the store: lists products, and buys them.") { workerTimeout, test, clients, pause, command };
brokers.AddTo(root);
root.SetAction(async (parsed, cancellationToken) =>
{
    await using var follower = brokers.Follow(parsed, Console.WriteLine);
    StoreSession NewSession() => new(follower, brokers.Ports(parsed), TimeSpan.FromSeconds(parsed.GetValue(workerTimeout)), Console.WriteLine, TimeProvider.System);
    try
    {
        if (parsed.GetValue(test) > 0)
        {
            var (summary, isGood) = await new TestRun(NewSession, TimeProvider.System).RunAsync(
                parsed.GetValue(test), parsed.GetValue(clients), TimeSpan.FromSeconds(parsed.GetValue(pause)), parsed.GetValue(command), cancellationToken);
            Console.WriteLine(summary);
            return isGood ? 0 : 1;
        }
        await using var session = NewSession();
        Console.WriteLine(Menu);
        while (await Console.In.ReadLineAsync(cancellationToken) is { } line && !line.Trim().Equals("EXIT", StringComparison.OrdinalIgnoreCase))
        {
            if (Normalized(line) is { } asked)
            {
                Console.WriteLine(await session.AskAsync(asked, cancellationToken) ?? "cancelled: no worker has answered");
            }
            else if (line.Trim().Length > 0)
            {
                Console.WriteLine(Menu);
            }
        }
        return 0;
    }
    catch (OperationCanceledException)
    {
        return 0; // Ctrl+C
    }
});

var commandLine = root.Parse(args);
if (commandLine.Action is ParseErrorAction mistakes)
{
    mistakes.ShowHelp = false;
}
return await commandLine.InvokeAsync();

// Commands are written in capitals on the wire; who types need not.
static string? Normalized(string line) => line.Split(' ', StringSplitOptions.RemoveEmptyEntries) switch
{
    [var name] when name.ToUpperInvariant() is "LIST" or "PING" => name.ToUpperInvariant(),
    [var name, var id] when name.ToUpperInvariant() is "QUERY" or "BUY" => $"{name.ToUpperInvariant()} {id}",
    _ => null,
};
