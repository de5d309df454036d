namespace LoadBalancer.Zmtp;

/// <summary>Why a peer was disconnected because of an error, its own or ours. An orderly end is not an error.</summary>
public enum ZmtpFault
{
    /// <summary>Its first bytes were no ZMTP greeting.</summary>
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

    /// <summary>Its socket type cannot be connected to our socket type.</summary>
    SocketType,

    /// <summary>Its identity was longer than 255 bytes, or began with a zero byte, which is reserved for generated identities.</summary>
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

    /// <summary>It has too many subscriptions, or one that is too long.</summary>
    Subscriptions,

    /// <summary>It did not read what was sent to it.</summary>
    NotReading,

    /// <summary>All peers together had more than <see cref="ZmtpLimits.BufferedBytes"/> in buffers, and this one the most.</summary>
    BufferedBytes,

    /// <summary>It sent many messages, one after the other, that its peer cannot use.</summary>
    Malformed,

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
