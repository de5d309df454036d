// A logic server: clients join rooms and say something there. What is said goes to a data server, through the load balancer, and comes
// back from every one of them, so that a room spans all logic servers.
//
//   join ROOM NAME   say ROOM TEXT   leave ROOM   list
using System.Net;
using ChatRoom;

var options = new ServerOptions(args);
var rooms = new Rooms();
var data = new LineLink(IPEndPoint.Parse(options.Need("--data")), rooms.Deliver, "logic server");
await options.RunAsync("logic server", () => rooms.Members, ServeAsync, data.RunAsync);

async Task ServeAsync(LinePeer client)
{
    while (await client.ReadAsync() is { } line)
    {
        var words = line.Split(' ', 3);
        switch (words)
        {
            case ["join", var room, { Length: > 0 } name]:
                rooms.Join(room, client, name);
                client.Send($"joined {room}");
                break;
            case ["say", var room, var text] when rooms.NameOf(room, client) is { } name:
                if (!data.TrySend($"{room} {name.Replace(' ', '_')}: {text}"))
                {
                    client.Send("error no data server can be reached; say it again");
                }
                break;
            case ["leave", var room]:
                rooms.Leave(room, client);
                client.Send($"left {room}");
                break;
            case ["list"]:
                client.Send($"rooms {rooms.List()}");
                break;
            default:
                client.Send("error expected join ROOM NAME, say ROOM TEXT (where you have joined), leave ROOM or list");
                break;
        }
    }
    rooms.LeaveAll(client);
}
