// A logic server: clients join rooms and say something there. What they say goes to a data server, through the load balancer, and comes
// back to every logic server, so that a room has members on all of them.
//
//   join ROOM NAME   say ROOM TEXT   leave ROOM   list
using System.CommandLine;
using ChatRoom;
using Samples;

var server = new ChatServer("logic server");
var data = CommandLine.EndPoint("--data", "Where the load balancer listens that leads to a data server.");
var command = new RootCommand("A logic server of the chat: knows which clients are in which room.") { data };
server.AddTo(command);

var rooms = new Rooms();
return await CommandLine.RunAsync(command, args, (options, stop) =>
{
    var link = new LineLink(options.GetRequiredValue(data), rooms.Deliver, greeting: "logic server");
    return server.RunAsync(options, () => rooms.Members, client => ServeAsync(client, link), link, stop);
});

async Task ServeAsync(LinePeer client, LineLink dataServer)
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
                if (!dataServer.TrySend($"{room} {name.Replace(' ', '_')}: {text}"))
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
