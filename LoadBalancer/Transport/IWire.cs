using System.Net.Sockets;

namespace LoadBalancer.Transport;

/// <summary>
/// What a connection to a client or a backend goes over: bytes in both directions. One may send while another receives. Disposing it
/// ends whatever is under way; that, and everything later, fails with <see cref="SocketException"/> or <see cref="ObjectDisposedException"/>.
/// </summary>
internal interface IWire : IDisposable
{
    /// <summary>Sends all of it.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> data);

    /// <summary>
    /// Receives what is there, or waits for it; nothing (0) means that the other side has ended its half. With no memory it only waits
    /// until receiving is worth a try, so that memory is not needed before.
    /// </summary>
    ValueTask<int> ReceiveAsync(Memory<byte> memory);

    /// <summary>Ends our half, once all that was sent has gone; the other one goes on. Says nothing where the connection is broken.</summary>
    ValueTask EndSendingAsync();

    /// <summary>Resets the connection, so that the other side does not take a part for the whole. Whatever is under way ends.</summary>
    void Reset();
}

/// <summary>A wire that can lie idle between two exchanges, and tells when it has closed meanwhile.</summary>
internal interface IRestingWire : IWire
{
    /// <summary>Lets the wire lie idle, nothing under way. What comes now, if only the end, was not asked for: the wire has closed.</summary>
    /// <param name="memory">What the first <see cref="IWire.ReceiveAsync"/> after the rest will be given; not to be touched until then.</param>
    /// <param name="closed">Called when it closes before <see cref="TryWake"/>; always the same for the same wire.</param>
    /// <returns>False where it has closed already.</returns>
    bool TryRest(Memory<byte> memory, Action closed);

    /// <summary>Ends the rest.</summary>
    /// <returns>False where the wire has closed.</returns>
    bool TryWake();
}
