namespace LoadBalancer.Zmtp;

/// <summary>The type of a socket, which it sends in its READY command.</summary>
public enum ZmtpSocketType
{
    /// <summary>Sends one request at a time.</summary>
    Req,

    /// <summary>Answers one request at a time.</summary>
    Rep,

    /// <summary>Sends any number of requests.</summary>
    Dealer,

    /// <summary>Knows its peers by their identity.</summary>
    Router,

    /// <summary>Publishes.</summary>
    Pub,

    /// <summary>Receives what it subscribed to.</summary>
    Sub,

    /// <summary>Publishes, and passes subscriptions to its owner.</summary>
    XPub,

    /// <summary>Receives, with the subscriptions that its owner passes on.</summary>
    XSub,
}

/// <summary>The names of the types, and which types may be connected.</summary>
internal static class ZmtpSocketTypes
{
    /// <summary>Its name on the wire.</summary>
    public static string Name(this ZmtpSocketType type) => type.ToString().ToUpperInvariant();

    /// <summary>Finds the type of that name; null if there is none.</summary>
    public static ZmtpSocketType? Find(string name) =>
        Enum.GetValues<ZmtpSocketType>().Where(type => type.Name() == name).Select(type => (ZmtpSocketType?)type).FirstOrDefault();

    /// <summary>Whether two sockets may be connected (RFC 23, "The Socket-Type Property").</summary>
    public static bool MayTalkTo(this ZmtpSocketType type, ZmtpSocketType peer) => type switch
    {
        ZmtpSocketType.Req => peer is ZmtpSocketType.Rep or ZmtpSocketType.Router,
        ZmtpSocketType.Rep => peer is ZmtpSocketType.Req or ZmtpSocketType.Dealer,
        ZmtpSocketType.Dealer => peer is ZmtpSocketType.Rep or ZmtpSocketType.Dealer or ZmtpSocketType.Router,
        ZmtpSocketType.Router => peer is ZmtpSocketType.Req or ZmtpSocketType.Dealer or ZmtpSocketType.Router,
        ZmtpSocketType.Pub or ZmtpSocketType.XPub => peer is ZmtpSocketType.Sub or ZmtpSocketType.XSub,
        ZmtpSocketType.Sub or ZmtpSocketType.XSub => peer is ZmtpSocketType.Pub or ZmtpSocketType.XPub,
    };

    /// <summary>Whether it sends its peers an identity (RFC 23: only these types do).</summary>
    public static bool HasIdentity(this ZmtpSocketType type) =>
        type is ZmtpSocketType.Req or ZmtpSocketType.Dealer or ZmtpSocketType.Router;

    /// <summary>Whether it publishes.</summary>
    public static bool Publishes(this ZmtpSocketType type) => type is ZmtpSocketType.Pub or ZmtpSocketType.XPub;
}
