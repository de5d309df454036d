namespace LoadBalancer.Zmtp;

/// <summary>A peer broke the protocol, or went beyond our limits. The only exception that parsing a peer's bytes can throw.</summary>
/// <param name="fault">In which way.</param>
/// <param name="message">What happened; bytes of the peer appear in it only as printable ASCII.</param>
public sealed class ZmtpException(ZmtpFault fault, string message) : Exception(message)
{
    /// <summary>In which way.</summary>
    public ZmtpFault Fault => fault;
}
