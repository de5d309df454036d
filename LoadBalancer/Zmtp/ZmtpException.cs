namespace LoadBalancer.Zmtp;

/// <summary>A peer broke the protocol, or went beyond our limits. The only exception that reading what a peer sent can throw.</summary>
/// <param name="fault">In which way.</param>
/// <param name="message">In words, without anything the peer sent that is not harmless.</param>
public sealed class ZmtpException(ZmtpFault fault, string message) : Exception(message)
{
    /// <summary>In which way.</summary>
    public ZmtpFault Fault => fault;
}
