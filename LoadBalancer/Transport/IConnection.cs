using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Transport;

/// <summary>
/// A connection to a client or a backend: bytes in both directions. One caller may send while another receives. Disposing it ends
/// pending calls; these, and all later calls, fail with <see cref="SocketException"/> or <see cref="ObjectDisposedException"/>.
/// </summary>
internal interface IConnection : IDisposable
{
    /// <summary>Sends all of it.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> data);

    /// <summary>
    /// Receives available bytes, or waits for them; 0 means that the other side has ended its half. With empty memory it only waits until a
    /// receive is worth a try, so that an idle connection needs no buffer.
    /// </summary>
    ValueTask<int> ReceiveAsync(Memory<byte> memory);

    /// <summary>Ends our half after all sent bytes; the other half stays open. Does not fail if the connection is broken.</summary>
    ValueTask EndSendingAsync();

    /// <summary>Resets the connection, so that the other side does not take a part of the data for all of it. Pending calls end.</summary>
    void Reset();
}

/// <summary>A connection that can be parked between two exchanges, and reports if it closes in the meantime.</summary>
internal interface IReusableConnection : IConnection
{
    /// <summary>The IP address that was connected to; null where it is not known.</summary>
    IPAddress? Peer => null;

    /// <summary>
    /// Whether its end, which was received, was not announced by the other side, so that somebody in between may have made it (RFC 8446
    /// section 6.1). Only TLS can tell.
    /// </summary>
    bool IsCutOff => false;

    /// <summary>
    /// Parks the connection; no call may be pending. If anything arrives while it is parked, also the end, it counts as closed.
    /// </summary>
    /// <param name="memory">
    /// The memory that the first <see cref="IConnection.ReceiveAsync"/> after it is given; must not be used until then.
    /// </param>
    /// <param name="closed">Called when it closes before <see cref="TryResume"/>; always the same for the same connection.</param>
    /// <returns>False where it has closed already.</returns>
    bool TryPark(Memory<byte> memory, Action closed);

    /// <summary>Takes the connection into use again.</summary>
    /// <returns>False where it has closed.</returns>
    bool TryResume();
}

/// <summary>A connection directly on a TCP socket, and what the system reports about it.</summary>
internal interface ISocketConnection : IReusableConnection
{
    /// <summary>
    /// Whether the other side has reset the connection, or the system has given it up; known at the latest from <see cref="Watch"/> on,
    /// also without a send or receive. A connection that we closed ourselves is not broken.
    /// </summary>
    bool IsBroken { get; }

    /// <summary>
    /// How many bytes have not left this machine: they wait for the other side to make room. 0 if the system does not report it (only Linux
    /// does) and no send is pending.
    /// </summary>
    int UnsentBytes { get; }

    /// <summary>
    /// How many bytes the other side has not acknowledged, the unsent ones included. 0 as with <see cref="UnsentBytes"/>.
    /// </summary>
    int UnacknowledgedBytes { get; }

    /// <summary>Keeps <see cref="IsBroken"/> up to date from now on, also without a send or receive.</summary>
    void Watch();

    /// <summary>
    /// Makes the system ask a silent peer whether it is there: after 30 s, then every 10 s. After three without an answer the
    /// connection is broken.
    /// </summary>
    void KeepAlive();
}
