using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Transport;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// The UDP socket on which the heartbeats of a pool arrive: reads datagrams as fast as they come, and goes on whatever they contain and
/// whatever the network reports.
/// </summary>
internal sealed class HeartbeatSocket : IDisposable
{
    // As much as the system allows: what arrives while this process is not running must find room.
    private const int ReceiveBuffer = 4 * 1024 * 1024;

    // After so many datagrams in a row, other work gets the thread.
    private const int Batch = 64;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    // Windows: do not report to the receiver that an answer could not be delivered (SIO_UDP_CONNRESET, for which .NET has no name).
    private const int ConnectionResetControl = unchecked((int)0x9800000C);

    private readonly ListenSocket _bound;
    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private volatile HeartbeatMonitor? _monitor;
    private volatile bool _isDisposed;

    /// <summary>Binds to an address; datagrams are read from <see cref="Start"/> on.</summary>
    /// <exception cref="StartException">The address cannot be bound.</exception>
    public HeartbeatSocket(string pool, EndpointAddress address, ListenSockets sockets, TimeProvider time, ILogger logger)
    {
        (Configured, _time, _logger) = (address, time, logger);
        var ip = ListenAddress.Resolve(address.Host)[0]; // of localhost, the IPv4 address alone
        try
        {
            _bound = sockets.Open(SocketType.Dgram, new IPEndPoint(ip, address.Port));
        }
        catch (SocketException e)
        {
            throw new StartException($"pool '{pool}': cannot take heartbeats on {address}: {ListenAddress.WhyNot(e)}", e);
        }
        _socket = _bound.Socket;
        if (OperatingSystem.IsWindows())
        {
            _socket.IOControl(ConnectionResetControl, [0], null);
        }
        _socket.ReceiveBufferSize = ReceiveBuffer;
        _socket.Blocking = false; // An answer that finds no room is lost, as any datagram may be.
    }

    /// <summary>The address as it was configured.</summary>
    public EndpointAddress Configured { get; }

    /// <summary>Where it really listens; that differs from the configuration if the configured port is 0.</summary>
    public EndpointAddress Address => Configured with { Port = _bound.Port };

    /// <summary>Reads datagrams until disposed: for the pool of this monitor from now on, even if it was for another pool before.</summary>
    public void Start(HeartbeatMonitor monitor)
    {
        var isReading = _monitor is not null;
        _monitor = monitor;
        if (!isReading)
        {
            BackgroundTask.Run(ReceiveAsync(), _logger, $"receiving heartbeats on {Configured}");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _isDisposed = true;
        _bound.Dispose();
    }

    private async Task ReceiveAsync()
    {
        var buffer = new byte[HeartbeatMessage.MaxBytes + 1];
        var answer = new byte[HeartbeatMessage.MaxBytes];
        var from = new SocketAddress(_socket.AddressFamily);
        for (var count = 1; !_isDisposed; count++)
        {
            try
            {
                var length = await _socket.ReceiveFromAsync(buffer, SocketFlags.None, from);
                Take(buffer.AsSpan(0, length), from, answer);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.MessageSize)
            {
                Take(buffer, from, answer); // Windows reports a datagram that does not fit; other systems cut it.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Disposed; or an answer could not be delivered. If that repeats, it must not keep a processor busy.
                if (!_isDisposed)
                {
                    await Task.Delay(Pause, _time);
                }
            }
            if (count % Batch == 0)
            {
                await Task.Yield();
            }
        }
    }

    private void Take(ReadOnlySpan<byte> datagram, SocketAddress from, byte[] buffer)
    {
        var (monitor, source) = (_monitor!, IpPort.From(from));
        var answer = monitor.TakeIn(datagram, source);
        if (answer == HeartbeatAnswer.None || source.Port == 0)
        {
            return;
        }
        try
        {
            _socket.SendTo(buffer.AsSpan(0, monitor.Write(answer, buffer)), SocketFlags.None, from);
        }
        catch (SocketException)
        {
            // A forged source to which nothing can be sent, or no room: the sender asks again.
        }
    }
}
