using System.CommandLine;
using System.Net.Sockets;
using Client;
using Samples;

var host = CommandLine.Text("--host", "HOST", "The load balancer's host.", defaultValue: "127.0.0.1");
var port = CommandLine.Number("--port", "Its port for clients.", defaultValue: 8888, most: 65_535);
var wait = CommandLine.Number("--wait", "How many seconds to wait for the load balancer.", defaultValue: 30, most: 3600);
var file = new Option<FileInfo?>("--file") { Description = "Sends the lines of this file, each as the data of a task.", HelpName = "FILE" };
var random = CommandLine.Number("--random", "Sends that many random tasks, and prints a summary.", defaultValue: 0, most: 10_000_000);
var outstanding = CommandLine.Number("--outstanding", "How many tasks may wait for a result at once.", defaultValue: 100, most: 10_000);

var command = new RootCommand("Sends tasks to the load balancer and prints their results. Without --file and --random: three examples.")
{
    host, port, wait, file, random, outstanding,
};
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    try
    {
        var patience = TimeSpan.FromSeconds(options.GetValue(wait));
        await using var connection = await BalancerConnection.OpenAsync(
            options.GetRequiredValue(host), options.GetValue(port), patience, stop);
        if (options.GetValue(random) is > 0 and var count)
        {
            return await new RandomTasks(connection, count, options.GetValue(outstanding)).RunAsync(stop) ? 0 : 1;
        }
        var tasks = options.GetValue(file) is { } lines
            ? await File.ReadAllLinesAsync(lines.FullName, stop)
            : ["1,2,3,4,5", "10,20,30", "100,200,300,400"];
        return await ListedTasks.RunAsync(connection, tasks, options.GetValue(outstanding), stop) ? 0 : 1;
    }
    catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
    {
        Console.Error.WriteLine($"client: {e.Message}");
        return 1;
    }
    catch (OperationCanceledException)
    {
        return 1; // Ctrl+C before all results were there
    }
});
