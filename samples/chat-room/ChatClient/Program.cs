// A console client: sends the lines that are typed, prints those that come. When its server is gone it connects again, through the load
// balancer, and joins its rooms anew.
using System.Net;
using System.Net.Sockets;
using ChatRoom;

var balancer = IPEndPoint.Parse(args.ElementAtOrDefault(0) ?? "127.0.0.1:3001");
var joined = new Dictionary<string, string>(); // by room, the line that joined it
LinePeer? server = null;
_ = Task.Run(ReceiveAsync);
while (await Console.In.ReadLineAsync() is { } line)
{
    if (line.Split(' ') is [("join" or "leave") and var verb, var room, ..])
    {
        lock (joined)
        {
            joined.Remove(room);
            if (verb == "join")
            {
                joined[room] = line;
            }
        }
    }
    if (server is null)
    {
        Console.WriteLine("(no server is there; once one is, say it again)");
    }
    server?.Send(line);
}

async Task ReceiveAsync()
{
    for (; ; await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System))
    {
        try
        {
            var client = new TcpClient(balancer.AddressFamily);
            await client.ConnectAsync(balancer);
            using var peer = new LinePeer(client);
            lock (joined)
            {
                joined.Values.ToList().ForEach(peer.Send);
            }
            server = peer;
            while (await peer.ReadAsync() is { } heard)
            {
                Console.WriteLine(heard);
            }
        }
        catch (SocketException)
        {
            // It is tried again.
        }
        server = null;
        Console.WriteLine("(disconnected; connecting again)");
    }
}
