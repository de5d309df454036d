using System.CommandLine;
using System.Net;
using Samples;

var balancer = new Argument<string>("IP:PORT")
{
    Description = "The load balancer's address.",
    DefaultValueFactory = _ => "127.0.0.1:3001",
};
var demo = new Option<int[]>("--demo")
{
    Description = "Two clients talk to each other while these processes are killed, one after the other.",
    HelpName = "PID PID",
    AllowMultipleArgumentsPerToken = true,
};
var command = new RootCommand("A client of the chat: sends the lines that are typed, prints those that arrive.") { balancer, demo };
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    if (!IPEndPoint.TryParse(options.GetRequiredValue(balancer), out var endPoint) || endPoint.Port == 0)
    {
        Console.Error.WriteLine($"'{options.GetValue(balancer)}' is not valid; expected IP:PORT, for example 127.0.0.1:3001");
        return 1;
    }
    if (options.GetValue(demo) is { Length: > 0 } victims)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
        timeout.CancelAfter(TimeSpan.FromSeconds(20));
        return await new Demo(endPoint, timeout.Token).RunAsync(victims);
    }
    using var session = new ChatSession(endPoint, Console.WriteLine);
    Background.Run(session.RunAsync);
    while (await Console.In.ReadLineAsync(stop) is { } line)
    {
        if (!session.Say(line))
        {
            Console.WriteLine("(not connected; send it again later)");
        }
    }
    return 0;
});
