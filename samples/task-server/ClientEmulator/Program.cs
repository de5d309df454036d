using System.CommandLine;
using ClientEmulator;
using Samples;

var name = CommandLine.Text("--name", "NAME", "The client's name, in its output and in its tasks.", defaultValue: "client");
const string Example = "for example http://127.0.0.1:8080";
var url = CommandLine.Value(Example, "--url", "URL", "The load balancer, or a single server.", (string text, out Uri value) =>
    Uri.TryCreate(text, UriKind.Absolute, out value!) && value.Scheme is "http" or "https");
url.DefaultValueFactory = _ => new("http://127.0.0.1:8080");
var requests = CommandLine.Number("--requests", "How many requests it sends in all.", defaultValue: 1000, most: 1_000_000);
var concurrency = CommandLine.Number("--concurrency", "How many of them at the same time.", defaultValue: 10, most: 1000);
var wait = CommandLine.Number("--wait", "How many seconds to wait until a server can be reached.", defaultValue: 30, most: 3600);

var command = new RootCommand("Plays many clients of the task servers: adds and reads tasks, makes mistakes on purpose, prints a summary.")
{
    name, url, requests, concurrency, wait,
};
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    using var emulation = new Emulation(options.GetRequiredValue(name), options.GetRequiredValue(url), TimeProvider.System);
    try
    {
        await emulation.WaitForServersAsync(TimeSpan.FromSeconds(options.GetValue(wait)), stop);
        var summary = await emulation.RunAsync(options.GetValue(requests), options.GetValue(concurrency), stop);
        Console.WriteLine(summary);
        return summary.IsGood ? 0 : 1;
    }
    catch (TimeoutException e)
    {
        Console.Error.WriteLine($"{options.GetValue(name)}: {e.Message}");
        return 1;
    }
    catch (OperationCanceledException)
    {
        return 1; // Ctrl+C before the first answer
    }
});
