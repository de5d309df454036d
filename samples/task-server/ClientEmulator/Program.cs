using System.CommandLine;
using System.CommandLine.Invocation;
using ClientEmulator;

var name = new Option<string>("--name") { Description = "What it calls itself, in its lines and in its tasks.", HelpName = "NAME", DefaultValueFactory = _ => "client" };
var url = new Option<Uri>("--url") { Description = "Where the load balancer is, or a single server.", HelpName = "URL", DefaultValueFactory = _ => new("http://127.0.0.1:8080") };
var requests = Number("--requests", "How many requests it sends in all.", usual: 1000, most: 1_000_000);
var concurrency = Number("--concurrency", "How many of them at the same time.", usual: 10, most: 1000);
var wait = Number("--wait", "How many seconds it waits for the load balancer to be there.", usual: 30, most: 3600);
url.CustomParser = result =>
{
    if (!Uri.TryCreate(result.Tokens[0].Value, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
    {
        result.AddError($"--url: '{result.Tokens[0].Value}' is not a valid address; expected for example http://127.0.0.1:8080");
    }
    return address;
};

var root = new RootCommand("Plays many clients of the task servers at once: adds tasks, reads them, makes mistakes on purpose, and says how it went.")
{
    name, url, requests, concurrency, wait,
};
root.SetAction(async (parsed, cancellationToken) =>
{
    using var emulation = new Emulation(parsed.GetRequiredValue(name), parsed.GetRequiredValue(url), TimeProvider.System);
    try
    {
        await emulation.WaitForServersAsync(TimeSpan.FromSeconds(parsed.GetValue(wait)), cancellationToken);
        var summary = await emulation.RunAsync(parsed.GetValue(requests), parsed.GetValue(concurrency), cancellationToken);
        Console.WriteLine(summary);
        return summary.IsGood ? 0 : 1;
    }
    catch (TimeoutException e)
    {
        Console.Error.WriteLine($"{parsed.GetValue(name)}: {e.Message}");
        return 1;
    }
    catch (OperationCanceledException)
    {
        return 1; // Ctrl+C before there was anything to tell
    }
});

var commandLine = root.Parse(args);
if (commandLine.Action is ParseErrorAction mistakes)
{
    mistakes.ShowHelp = false; // the mistakes alone: there may be several clients
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
