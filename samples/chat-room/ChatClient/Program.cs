// A console client: sends the lines that are typed, prints those that come.
//
//   ChatClient [IP:PORT]                     of the load balancer; 127.0.0.1:3001 where it is not said
//   ChatClient IP:PORT --demo PID PID        two clients talk by themselves while the processes are killed
using System.Globalization;
using System.Net;

var balancer = IPEndPoint.Parse(args.ElementAtOrDefault(0) ?? "127.0.0.1:3001");
if (args.ElementAtOrDefault(1) == "--demo")
{
    using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(20));
    return await new Demo(balancer, enough.Token).RunAsync([.. args.Skip(2).Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))]);
}
using var session = new ChatSession(balancer, Console.WriteLine);
_ = session.RunAsync();
while (await Console.In.ReadLineAsync() is { } line)
{
    if (!session.Say(line))
    {
        Console.WriteLine("(no server is there; once one is, say it again)");
    }
}
return 0;
