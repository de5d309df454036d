using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Where the heartbeats of a pool arrive: reads datagrams as fast as they come, and goes on whatever they hold and whatever the network
/// reports.
/// </summary>
internal sealed class HeartbeatSocket : IDisposable
{
    // As much as the system lets us have: what comes while this program is not on a processor must find room.
    private const int ReceiveBuffer = 4 * 1024 * 1024;

    // So many in a row, then others that wait for a thread have their turn.
    private const int Batch = 64;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    // Windows: tells no receiver that somebody whom we had answered was not there (SIO_UDP_CONNRESET, which .NET has no name for).
    private const int ConnectionResetControl = unchecked((int)0x9800000C);

    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private volatile HeartbeatMonitor? _monitor;
    private volatile bool _isDisposed;

    /// <summary>Binds to an address; datagrams are read from <see cref="Start"/> on.</summary>
    /// <exception cref="StartException">It cannot be had.</exception>
    public HeartbeatSocket(string pool, EndpointAddress address, TimeProvider time, ILogger logger)
    {
        (Configured, _time, _logger) = (address, time, logger);
        var ip = ListenAddress.Resolve(address.Host)[0]; // of localhost, the IPv4 address alone
        _socket = new Socket(ip.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (ip.Equals(IPAddress.IPv6Any))
            {
                _socket.DualMode = true;
            }
            if (OperatingSystem.IsWindows())
            {
                _socket.ExclusiveAddressUse = true;
                _socket.IOControl(ConnectionResetControl, [0], null);
            }
            _socket.ReceiveBufferSize = ReceiveBuffer;
            _socket.Blocking = false; // An answer that finds no room is lost, like any datagram may be.
            _socket.Bind(new IPEndPoint(ip, address.Port));
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw new StartException($"pool '{pool}': cannot take heartbeats on {address}: {ListenAddress.WhyNot(e)}", e);
        }
    }

    /// <summary>The address as it was configured.</summary>
    public EndpointAddress Configured { get; }

    /// <summary>Where it really is, which the configuration does not say where its port is 0.</summary>
    public EndpointAddress Address => Configured with { Port = ((IPEndPoint)_socket.LocalEndPoint!).Port };

    /// <summary>Reads datagrams until disposed: for this pool from now on, whichever it was before.</summary>
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
        _socket.Dispose();
    }

    private async Task ReceiveAsync()
    {
        var buffer = new byte[HeartbeatMessage.MostBytes + 1];
        var answer = new byte[HeartbeatMessage.MostBytes];
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
                Take(buffer, from, answer); // Windows says so of one that did not fit; elsewhere its end is missing.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Disposed of; or something came back from where an answer went. Should it go on, it must not keep a processor busy.
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
            // A forged source that nothing can be sent to, or no room: the sender asks again.
        }
    }
}
