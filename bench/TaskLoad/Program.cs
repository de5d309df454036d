// Plays clients and workers of a task listener, all in this process and on the load balancer's own event loops, so that they cost little.
// Prints how many tasks per second are completed. With --rabbit, for comparison: how many a RabbitMQ server alone completes.
using System.Globalization;
using System.Runtime.Versioning;
using TaskLoad;

[assembly: SupportedOSPlatform("linux")]

string Text(string name, string defaultValue)
{
    var at = Array.IndexOf(args, "--" + name) + 1;
    return at > 0 && at < args.Length ? args[at] : defaultValue;
}
int Number(string name, int defaultValue) => int.Parse(Text(name, $"{defaultValue}"), CultureInfo.InvariantCulture);

var load = new Load(
    Number("tasks", 1_000_000),
    Number("size", 64),
    Number("clients", 32),
    Number("outstanding", 16),
    Number("workers", 16),
    Number("capacity", 8));
var rate = Text("rabbit", "") is { Length: > 0 } uri
    ? await new BareRabbit(new Uri(uri), load).RunAsync()
    : await new Peers(Number("port", 8888), Number("worker-port", 8889), load).RunAsync();
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rate:F0} tasks/s"));
