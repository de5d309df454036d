// A data server: every line that a logic server sends goes to all logic servers that are connected to it or to the other data server. It
// stores nothing: only lines that are on their way are lost with it.
using System.Collections.Concurrent;
using System.CommandLine;
using ChatRoom;
using Samples;

var server = new ChatServer("data server");
var other = CommandLine.EndPoint("--other", "Where the other data server listens.");
var command = new RootCommand("A data server of the chat: passes lines on to all logic servers.") { other };
server.AddTo(command);

var logicServers = new ConcurrentDictionary<LinePeer, bool>();
return await CommandLine.RunAsync(command, args, (options, stop) =>
{
    // What the other data server sends over this connection is ignored: its lines come over the connection that it has made to us.
    var link = new LineLink(options.GetRequiredValue(other), received: _ => { }, LineLink.Welcome);
    return server.RunAsync(options, () => logicServers.Count, peer => ServeAsync(peer, link), link, stop);
});

async Task ServeAsync(LinePeer peer, LineLink link)
{
    var isDataServer = await peer.ReadAsync() == LineLink.Welcome;
    peer.Send(LineLink.Welcome);
    if (!isDataServer)
    {
        logicServers[peer] = true;
    }
    while (await peer.ReadAsync() is { } line)
    {
        foreach (var logicServer in logicServers.Keys)
        {
            logicServer.Send(line);
        }
        if (!isDataServer)
        {
            link.TrySend(line);
        }
    }
    logicServers.TryRemove(peer, out _);
}
