// Plays clients and workers of a listener of tasks, both in this one process and on the load balancer's own event loops, so that they
// cost little; and measures how many tasks per second come through. Or, as a yardstick, how many a RabbitMQ server alone carries.
using System.Globalization;
using System.Runtime.Versioning;
using TaskLoad;

[assembly: SupportedOSPlatform("linux")]

string Text(string name, string usual) => Array.IndexOf(args, "--" + name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : usual;
int Number(string name, int usual) => int.Parse(Text(name, $"{usual}"), CultureInfo.InvariantCulture);

var load = new Load(Number("tasks", 1_000_000), Number("size", 64), Number("clients", 32), Number("outstanding", 16), Number("workers", 16), Number("capacity", 8));
var rate = Text("rabbit", "") is { Length: > 0 } uri
    ? await new BareRabbit(new Uri(uri), load).RunAsync()
    : await new Peers(Number("port", 8888), Number("worker-port", 8889), load).RunAsync();
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rate:F0} tasks/s"));
