using System.CommandLine;
using System.CommandLine.Invocation;
using System.Net.Sockets;
using Client;

var host = new Option<string>("--host") { Description = "Where the load balancer is.", HelpName = "HOST", DefaultValueFactory = _ => "127.0.0.1" };
var port = Number("--port", "Its port for clients.", usual: 8888, most: 65_535);
var wait = Number("--wait", "How many seconds it waits for the load balancer to be there.", usual: 30, most: 3600);
var file = new Option<FileInfo?>("--file") { Description = "Sends the lines of this file, each the data of a task.", HelpName = "FILE" };
var random = Number("--random", "Sends so many random tasks, and shows how far it is and how it went.", usual: 0, most: 10_000_000);
var outstanding = Number("--outstanding", "How many tasks may be without a result at once.", usual: 100, most: 10_000);

var root = new RootCommand("Sends tasks to the load balancer and shows their results: three examples, unless told otherwise.") { host, port, wait, file, random, outstanding };
root.SetAction(async (parsed, cancellationToken) =>
{
    try
    {
        await using var connection = await BalancerConnection.OpenAsync(parsed.GetRequiredValue(host), parsed.GetValue(port), TimeSpan.FromSeconds(parsed.GetValue(wait)), cancellationToken);
        if (parsed.GetValue(random) is > 0 and var count)
        {
            return await new RandomTasks(connection, count, parsed.GetValue(outstanding)).RunAsync(cancellationToken) ? 0 : 1;
        }
        var tasks = parsed.GetValue(file) is { } lines ? await File.ReadAllLinesAsync(lines.FullName, cancellationToken) : ["1,2,3,4,5", "10,20,30", "100,200,300,400"];
        return await ListedTasks.RunAsync(connection, tasks, parsed.GetValue(outstanding), cancellationToken) ? 0 : 1;
    }
    catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
    {
        Console.Error.WriteLine($"client: {e.Message}");
        return 1;
    }
    catch (OperationCanceledException)
    {
        return 1;
    }
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
