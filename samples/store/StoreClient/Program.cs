using System.CommandLine;
using Samples;
using Store;

const string Menu = """
    LIST          all products
    QUERY <id>    one of them
    BUY <id>      buys one, if there is any left
    PING          is a worker there?
    EXIT          ends
    """;

var brokers = new BrokerOptions();
var workerTimeout = CommandLine.Seconds("--worker-timeout", "How long to wait for a sign of life before a request is sent again.", 10);
var test = CommandLine.Number("--test", "Test mode: sends that many requests, and reads no commands.", defaultValue: 0, most: 10_000_000);
var clients = CommandLine.Number("--clients", "Test mode: how many clients at once.", defaultValue: 4, most: 1000);
var pause = CommandLine.Seconds("--pause", "Test mode: how many seconds each client pauses after an answer.");
var request = new Option<string?>("--command")
{
    Description = "Test mode: the command of each request; without it several kinds.",
    HelpName = "COMMAND",
};

var command = new RootCommand("A client of the store: lists products, and buys them.") { workerTimeout, test, clients, pause, request };
brokers.AddTo(command);
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    await using var follower = brokers.Follow(options, Console.WriteLine);
    try
    {
        if (options.GetValue(test) is > 0 and var count)
        {
            var run = new TestRun(NewSession, TimeProvider.System);
            var (summary, isGood) = await run.RunAsync(
                count, options.GetValue(clients), TimeSpan.FromSeconds(options.GetValue(pause)), options.GetValue(request), stop);
            Console.WriteLine(summary);
            return isGood ? 0 : 1;
        }
        await using var session = NewSession();
        await ReadCommandsAsync(session, stop);
        return 0;
    }
    catch (OperationCanceledException)
    {
        return 0; // Ctrl+C
    }

    StoreSession NewSession()
    {
        var timeout = TimeSpan.FromSeconds(options.GetValue(workerTimeout));
        return new(follower, brokers.Ports(options), timeout, Console.WriteLine, TimeProvider.System);
    }
});

static async Task ReadCommandsAsync(StoreSession session, CancellationToken stop)
{
    Console.WriteLine(Menu);
    while (await Console.In.ReadLineAsync(stop) is { } line && !line.Trim().Equals("EXIT", StringComparison.OrdinalIgnoreCase))
    {
        if (Normalized(line) is { } command)
        {
            Console.WriteLine(await session.AskAsync(command, stop) ?? "cancelled: no worker has answered");
        }
        else if (line.Trim().Length > 0)
        {
            Console.WriteLine(Menu);
        }
    }
}

// Commands are in capitals on the wire; users may type small letters.
static string? Normalized(string line) => line.Split(' ', StringSplitOptions.RemoveEmptyEntries) switch
{
    [var name] when name.ToUpperInvariant() is "LIST" or "PING" => name.ToUpperInvariant(),
    [var name, var id] when name.ToUpperInvariant() is "QUERY" or "BUY" => $"{name.ToUpperInvariant()} {id}",
    _ => null,
};
