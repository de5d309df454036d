using System.CommandLine;
using System.Net.Sockets;
using Samples;
using Worker;

var name = CommandLine.Text("--name", "NAME", "The worker's name; no other worker may have the same.", $"worker_{Guid.NewGuid():N}"[..11]);
var host = CommandLine.Text("--host", "HOST", "The load balancer's host.", defaultValue: "127.0.0.1");
var port = CommandLine.Number("--port", "Its port for workers.", defaultValue: 8889, most: 65_535);
var capacity = CommandLine.Number("--capacity", "How many tasks it accepts at once.", defaultValue: 1, most: 10_000);
var quiet = new Option<bool>("--quiet") { Description = "Prints nothing about single tasks." };

var command = new RootCommand("Registers with the load balancer and adds the numbers of each task. Reconnects when the connection is lost.")
{
    name, host, port, capacity, quiet,
};
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    var connection = new BalancerConnection(
        options.GetRequiredValue(name),
        options.GetRequiredValue(host),
        options.GetValue(port),
        options.GetValue(capacity),
        options.GetValue(quiet));
    while (!stop.IsCancellationRequested)
    {
        try
        {
            await connection.WorkAsync(SumTask.Process, stop);
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            connection.Print($"Sin conexión con el balanceador: {e.Message}");
        }
        await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
    return 0;
});
