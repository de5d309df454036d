using System.Net.Sockets;

namespace LoadBalancer.Transport;

/// <summary>
/// A connection to a client or a backend: bytes in both directions. One caller may send while another receives. Disposing it ends what
/// is under way; that, and every later call, fails with <see cref="SocketException"/> or <see cref="ObjectDisposedException"/>.
/// </summary>
internal interface IConnection : IDisposable
{
    /// <summary>Sends all of it.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> data);

    /// <summary>
    /// Receives what is there, or waits for it; 0 means that the other side has ended its half. With empty memory it only waits until a
    /// receive is worth a try, so that an idle connection needs no buffer.
    /// </summary>
    ValueTask<int> ReceiveAsync(Memory<byte> memory);

    /// <summary>Ends our half after all that was sent; the other half goes on. Does not fail where the connection is broken.</summary>
    ValueTask EndSendingAsync();

    /// <summary>Resets the connection, so that the other side does not take a part for the whole. What is under way ends.</summary>
    void Reset();
}

/// <summary>A connection that is kept between two exchanges (parked), and that reports when it has closed in the meantime.</summary>
internal interface IReusableConnection : IConnection
{
    /// <summary>
    /// Parks the connection; nothing may be under way. Whatever arrives now, the end included, was not asked for: it has closed.
    /// </summary>
    /// <param name="memory">
    /// What the first <see cref="IConnection.ReceiveAsync"/> after the pause will be given; not to be touched until then.
    /// </param>
    /// <param name="closed">Called when it closes before <see cref="TryResume"/>; always the same for the same connection.</param>
    /// <returns>False where it has closed already.</returns>
    bool TryPark(Memory<byte> memory, Action closed);

    /// <summary>Takes the connection into use again.</summary>
    /// <returns>False where it has closed.</returns>
    bool TryResume();
}

/// <summary>A connection directly on a TCP socket, and what the system knows of it.</summary>
internal interface ISocketConnection : IReusableConnection
{
    /// <summary>
    /// Whether the other side has reset the connection, or the system has given it up; known at the latest from <see cref="Watch"/> on,
    /// also while nobody sends or receives. A connection that we closed ourselves is not broken.
    /// </summary>
    bool IsBroken { get; }

    /// <summary>
    /// How many bytes have not left this machine: they wait for the other side to make room. 0 where the system does not say (only Linux
    /// does) and no send is under way.
    /// </summary>
    int UnsentBytes { get; }

    /// <summary>
    /// How many bytes the other side has not acknowledged, the unsent ones included. 0 as with <see cref="UnsentBytes"/>.
    /// </summary>
    int UnacknowledgedBytes { get; }

    /// <summary>From now on <see cref="IsBroken"/> is kept up to date though nobody sends or receives.</summary>
    void Watch();

    /// <summary>
    /// Makes the system ask a silent peer whether it is there: after 30 s, then every 10 s; no answer to three is the end.
    /// </summary>
    void KeepAlive();
}
