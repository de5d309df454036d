namespace LoadBalancer.Zmtp;

/// <summary>Why a peer lost its connection through its own fault, or ours; an orderly end is none of these.</summary>
public enum ZmtpFault
{
    /// <summary>What it sent first was no ZMTP greeting.</summary>
    NotZmtp,

    /// <summary>It speaks a version of ZMTP before 3.0.</summary>
    Version,

    /// <summary>It wants a security mechanism other than NULL.</summary>
    Mechanism,

    /// <summary>It did not finish the handshake in <see cref="ZmtpLimits.HandshakeTimeout"/>.</summary>
    HandshakeTimeout,

    /// <summary>The connection ended before the handshake did.</summary>
    HandshakeBroken,

    /// <summary>A command was malformed, or out of place.</summary>
    Command,

    /// <summary>A socket of its type has no business with one of ours.</summary>
    SocketType,

    /// <summary>Its identity was longer than 255 bytes, or began with a zero byte, which are ours to give.</summary>
    Identity,

    /// <summary>A frame's flags had a bit set that means nothing, or two that exclude each other.</summary>
    Flags,

    /// <summary>
    /// A frame was longer than <see cref="ZmtpLimits.FrameBytes"/>, or a command longer than <see cref="ZmtpLimits.CommandBytes"/>.
    /// </summary>
    FrameBytes,

    /// <summary>A message had more frames than <see cref="ZmtpLimits.FramesPerMessage"/>.</summary>
    FramesPerMessage,

    /// <summary>A message was longer than <see cref="ZmtpLimits.MessageBytes"/>.</summary>
    MessageBytes,

    /// <summary>The connection ended in the middle of a message.</summary>
    Truncated,

    /// <summary>It subscribed to more, or to something longer, than we keep.</summary>
    Subscriptions,

    /// <summary>It did not read what was sent to it.</summary>
    NotReading,

    /// <summary>It did not answer a PING.</summary>
    Silent,

    /// <summary>There were <see cref="ZmtpLimits.Connections"/> already.</summary>
    TooManyConnections,

    /// <summary>Another connection came with its identity.</summary>
    Replaced,

    /// <summary>It refused us with an ERROR command.</summary>
    RefusedByPeer,

    /// <summary>Our own handling of what it sent failed.</summary>
    Internal,
}
