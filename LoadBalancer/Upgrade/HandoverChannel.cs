using System.Buffers.Binary;
using System.Net.Sockets;
using LoadBalancer.Transport;

namespace LoadBalancer.Upgrade;

/// <summary>
/// What a process and the one that replaces it talk over: a pair of sockets without a name, which nobody else can connect to. Each message
/// is preceded by its length, four bytes in network order.
/// </summary>
internal sealed class HandoverChannel(Socket socket) : IDisposable
{
    private const int LongestMessage = 64 * 1024 * 1024; // bytes

    /// <summary>Makes a channel, and the end of it that a process inherits which is started now.</summary>
    /// <exception cref="SocketException">There are too many files.</exception>
    public static (HandoverChannel Ours, SafeSocketHandle Theirs) NewPair()
    {
        var (ours, theirs) = FilePassing.NewPair();
        return (new HandoverChannel(ours), theirs);
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    /// <summary>Sends a message.</summary>
    /// <exception cref="SocketException">The other process is gone.</exception>
    public async Task SendAsync(HandoverMessage message, CancellationToken cancellationToken)
    {
        var json = message.ToBytes();
        var bytes = new byte[sizeof(int) + json.Length];
        BinaryPrimitives.WriteInt32BigEndian(bytes, json.Length);
        json.CopyTo(bytes, sizeof(int));
        for (var sent = 0; sent < bytes.Length;)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent), cancellationToken);
        }
    }

    /// <summary>Receives a message.</summary>
    /// <returns>Null where the other process is gone, or sends something else.</returns>
    public async Task<HandoverMessage?> ReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            var head = new byte[sizeof(int)];
            if (!await TryFillAsync(head, cancellationToken)
                || BinaryPrimitives.ReadInt32BigEndian(head) is not (>= 0 and <= LongestMessage and var length))
            {
                return null;
            }
            var json = new byte[length];
            return await TryFillAsync(json, cancellationToken) ? HandoverMessage.Read(json) : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>Sends listening sockets.</summary>
    /// <exception cref="SocketException">The other process is gone.</exception>
    public void SendSockets(IReadOnlyList<Socket> sockets) => FilePassing.Send(socket, sockets);

    /// <summary>Receives them; blocks until they are there.</summary>
    /// <exception cref="SocketException">The other process is gone, or there are too many files.</exception>
    public List<SafeSocketHandle> ReceiveSockets() => FilePassing.Receive(socket);

    private async Task<bool> TryFillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (buffer.Length > 0)
        {
            var count = await socket.ReceiveAsync(buffer, cancellationToken);
            if (count == 0)
            {
                return false;
            }
            buffer = buffer[count..];
        }
        return true;
    }
}
