using System.Net;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>What a client wants done: its identity says where the answer goes, whatever connection it has by then.</summary>
internal sealed class Request
{
    private Request(ClientState client, ZmtpMessage message, ZmtpEnvelope envelope, ZmtpMessage body, long arrived) =>
        (Client, Message, Envelope, Body, Arrived) = (client, message, envelope, body, arrived);

    /// <summary>Who asked.</summary>
    public ClientState Client { get; }

    /// <summary>All of it, envelope included: the one way in which a REP and a DEALER are asked too.</summary>
    public ZmtpMessage Message { get; }

    /// <summary>What the client wants before its answer.</summary>
    public ZmtpEnvelope Envelope { get; }

    /// <summary>The client's id and the command.</summary>
    public ZmtpMessage Body { get; }

    /// <summary>When it came.</summary>
    public long Arrived { get; }

    /// <summary>How many workers had it.</summary>
    public int Attempts { get; set; }

    /// <summary>Where it waits; null where it does not.</summary>
    public LinkedListNode<Request>? Place { get; set; }

    /// <summary>
    /// Whether doing it twice does no harm, so that another worker may be asked where one was lost that had it. BUY is not like that; of
    /// a command that we do not know nobody can say.
    /// </summary>
    public bool IsRepeatable
    {
        get
        {
            var command = Body[1].Span;
            var end = command.IndexOf((byte)' ');
            command = end < 0 ? command : command[..end];
            return command.SequenceEqual("LIST"u8) || command.SequenceEqual("QUERY"u8) || command.SequenceEqual("PING"u8);
        }
    }

    /// <summary>Reads a request.</summary>
    /// <param name="client">Who asks.</param>
    /// <param name="message">What came: an envelope, the client's id, the command.</param>
    /// <param name="arrived">When.</param>
    /// <returns>The request; null where it is none.</returns>
    public static Request? TryRead(ClientState client, ZmtpMessage message, long arrived)
    {
        var kept = message.Copy();
        return kept.TryOpen(out var envelope, out var body) && body.Count == 2 ? new Request(client, kept, envelope, body, arrived) : null;
    }
}

/// <summary>What is known of a connected client.</summary>
/// <param name="peer">Its connection.</param>
internal sealed class ClientState(ZmtpPeer peer)
{
    /// <summary>Its connection.</summary>
    public ZmtpPeer Peer => peer;

    /// <summary>What it has in common with others at its address.</summary>
    public ulong Hash { get; } = ClientHash.Of((peer.Remote as IPEndPoint)?.Address);

    /// <summary>Whether it has asked anything yet.</summary>
    public bool HasAsked { get; set; }

    /// <summary>What a REQ has asked last: it takes no other answer. Null where that was answered, and for a DEALER, which asks as it likes.</summary>
    public Request? Open { get; set; }

    /// <summary>What of it waits for a worker.</summary>
    public HashSet<Request> Waiting { get; } = [];
}

/// <summary>A connected worker, and the request that it is at.</summary>
/// <param name="peer">Its connection.</param>
/// <param name="backend">Its place in the pool.</param>
internal sealed class WorkerState(ZmtpPeer peer, Backend backend)
{
    /// <summary>Its connection.</summary>
    public ZmtpPeer Peer => peer;

    /// <summary>Its place in the pool.</summary>
    public Backend Backend => backend;

    /// <summary>What it is at; null where it is free.</summary>
    public Request? Request { get; set; }

    /// <summary>The lease that goes with it.</summary>
    public BackendLease? Lease { get; set; }
}
