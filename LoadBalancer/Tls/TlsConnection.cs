using System.Net.Security;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tls;

/// <summary>
/// A backend's connection through TLS. While it is parked a read is already under way, as with <see cref="SocketConnection"/>.
/// </summary>
internal sealed class TlsConnection(Socket socket, SslStream tls, ILogger logger) : IReusableConnection
{
    private const int InUse = 0;
    private const int Parked = 1;
    private const int Closed = 2;

    private int _state;
    private Task<int>? _readAhead;

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
        EndSending(); // The framework would reset a connection on which something is under way.
        socket.Dispose(); // Before TLS, so that no alert is waited for.
        tls.Dispose();
    }

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
