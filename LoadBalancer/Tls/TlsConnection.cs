using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tls;

/// <summary>
/// A backend's connection through TLS. While it is parked a read is already under way, as with <see cref="SocketConnection"/>.
/// </summary>
internal sealed class TlsConnection(Socket socket, BackendTlsStream tls, ILogger logger) : IReusableConnection
{
    private const int InUse = 0;
    private const int Parked = 1;
    private const int Closed = 2;

    private int _state;
    private Task<int>? _readAhead;

    /// <inheritdoc/>
    public IPAddress? Peer { get; } = PeerOf(socket);

    /// <summary>The protocol that was negotiated (ALPN).</summary>
    public SslApplicationProtocol Protocol => tls.NegotiatedApplicationProtocol;

    /// <inheritdoc/>
    public bool IsCutOff => tls.IsCutOff;

    /// <inheritdoc/>
    public async ValueTask SendAsync(ReadOnlyMemory<byte> data) => await tls.WriteAsync(data); // fails through the task, disposed or not

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory)
    {
        if (_readAhead is not { } begun)
        {
            return ReadAsync(memory);
        }
        _readAhead = null;
        return new(begun);
    }

    /// <inheritdoc/>
    public async ValueTask EndSendingAsync() => await tls.ShutdownAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    /// <inheritdoc/>
    public void Reset()
    {
        socket.Close(0); // with time 0 to linger: a reset
        Dispose();
    }

    /// <inheritdoc/>
    public bool TryPark(Memory<byte> memory, Action closed)
    {
        Volatile.Write(ref _state, Parked);
        _readAhead = ReadAsync(memory).AsTask();
        BackgroundTask.Run(NoticeEndAsync(_readAhead, closed), logger, "watching an idle TLS connection");
        return Volatile.Read(ref _state) == Parked;
    }

    /// <inheritdoc/>
    public bool TryResume() => Interlocked.CompareExchange(ref _state, InUse, Parked) == Parked;

    /// <inheritdoc/>
    public void Dispose()
    {
        TryResume(); // The read that is under way ends with the socket, and that is not the backend's doing.
        NotifyClose();
        EndSending(); // The framework would reset a connection on which something is under way.
        socket.Dispose(); // Before TLS, so that no alert is waited for.
        tls.Dispose();
    }

    // RFC 8446 section 6.1. Sent in this call if the system has room for it, and otherwise not: nothing waits for a backend here.
    private void NotifyClose()
    {
        try
        {
            var notifying = tls.ShutdownAsync();
            if (!notifying.IsCompletedSuccessfully)
            {
                BackgroundTask.Run(ForgetAsync(notifying), logger, "ending a TLS connection");
            }
        }
        catch (Exception e) when (e is InvalidOperationException or IOException)
        {
            // Something is being sent, which is not the end of what was to be sent; or it has ended already.
        }
    }

    private static async Task ForgetAsync(Task task) => await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private void EndSending()
    {
        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }
    }

    private static IPAddress? PeerOf(Socket socket)
    {
        try
        {
            return (socket.RemoteEndPoint as IPEndPoint)?.Address;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return null; // It has ended already.
        }
    }

    private async ValueTask<int> ReadAsync(Memory<byte> memory) => await tls.ReadAsync(memory);

    private async Task NoticeEndAsync(Task reading, Action closed)
    {
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (Interlocked.CompareExchange(ref _state, Closed, Parked) == Parked)
        {
            closed();
        }
    }
}
