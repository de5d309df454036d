using System.Net;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>A request of a client. The client's identity says where the answer goes, whatever connection the client has by then.</summary>
internal sealed class Request
{
    private Request(ClientState client, ZmtpMessage message, ZmtpEnvelope envelope, ZmtpMessage body, long arrived) =>
        (Client, Message, Envelope, Body, Arrived) = (client, message, envelope, body, arrived);

    /// <summary>The client.</summary>
    public ClientState Client { get; }

    /// <summary>The whole message, including the envelope: the form in which a REP and a DEALER expect it too.</summary>
    public ZmtpMessage Message { get; }

    /// <summary>The envelope that the client expects before its answer.</summary>
    public ZmtpEnvelope Envelope { get; }

    /// <summary>The frames with the client's id and the command.</summary>
    public ZmtpMessage Body { get; }

    /// <summary>Timestamp of its arrival.</summary>
    public long Arrived { get; }

    /// <summary>The number of workers that had it.</summary>
    public int Attempts { get; set; }

    /// <summary>Its node in the request queue; null if it is not in the queue.</summary>
    public LinkedListNode<Request>? QueueNode { get; set; }

    /// <summary>
    /// Whether it is idempotent, so that another worker may get it if the connection of one that had it is lost. BUY is not; an unknown
    /// command may not be.
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

    /// <summary>Parses a request.</summary>
    /// <param name="client">The client.</param>
    /// <param name="message">The message: an envelope, the client's id, the command.</param>
    /// <param name="arrived">Timestamp of its arrival.</param>
    /// <returns>The request; null if the message is none.</returns>
    public static Request? TryRead(ClientState client, ZmtpMessage message, long arrived)
    {
        var kept = message.Copy();
        return kept.TryOpen(out var envelope, out var body) && body.Count == 2 ? new Request(client, kept, envelope, body, arrived) : null;
    }
}

/// <summary>The state of a connected client.</summary>
/// <param name="peer">Its connection.</param>
internal sealed class ClientState(ZmtpPeer peer)
{
    /// <summary>Its connection.</summary>
    public ZmtpPeer Peer => peer;

    /// <summary>The hash of its address.</summary>
    public ulong Hash { get; } = ClientHash.Of((peer.Remote as IPEndPoint)?.Address);

    /// <summary>Whether it has sent a request on this connection.</summary>
    public bool HasAsked { get; set; }

    /// <summary>
    /// The last request of a REQ, which accepts no other answer. Null when it was answered, and always for a DEALER, which may have any
    /// number of requests.
    /// </summary>
    public Request? Open { get; set; }

    /// <summary>How many of its messages were no requests, since the last one that was.</summary>
    public int Malformed { get; set; }

    /// <summary>Its requests that wait for a worker.</summary>
    public HashSet<Request> Waiting { get; } = [];
}

/// <summary>A connected worker, and the request that it has.</summary>
/// <param name="peer">Its connection.</param>
/// <param name="backend">Its backend in the pool.</param>
internal sealed class WorkerState(ZmtpPeer peer, Backend backend)
{
    /// <summary>Its connection.</summary>
    public ZmtpPeer Peer => peer;

    /// <summary>Its backend in the pool.</summary>
    public Backend Backend => backend;

    /// <summary>The request that it has; null while it is free.</summary>
    public Request? Request { get; set; }

    /// <summary>The lease for that request.</summary>
    public BackendLease? Lease { get; set; }
}
