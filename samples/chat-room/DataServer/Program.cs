// A data server: whatever line a logic server says, every logic server hears that is connected to it or to the other data server. It
// keeps nothing, so that nothing is lost with it but what is on its way at that moment.
using System.Collections.Concurrent;
using System.Net;
using ChatRoom;

var options = new ServerOptions(args);
var logicServers = new ConcurrentDictionary<LinePeer, bool>();
var other = new LineLink(IPEndPoint.Parse(options.Need("--other")), _ => { }, LineLink.Welcome);
await options.RunAsync("data server", () => logicServers.Count, ServeAsync, other.RunAsync);

async Task ServeAsync(LinePeer peer)
{
    // It tells what its logic servers say, and hears what ours do by our own connection to it.
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
            other.TrySend(line);
        }
    }
    logicServers.TryRemove(peer, out _);
}
