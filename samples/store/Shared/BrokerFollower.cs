using System.Net;
using LoadBalancer.Zmtp;
using Samples;

namespace Store;

/// <summary>
/// Keeps sockets connected to the load balancer that serves: listens to its HCHECK, which contains the alternative's address, and goes
/// there when no HCHECK arrives any more. If none arrives there either, it goes back.
/// </summary>
internal sealed class BrokerFollower : IAsyncDisposable
{
    private readonly StorePorts _ports;
    private readonly TimeSpan _timeout;
    private readonly Action<string> _print;
    private readonly SubscribeSocket _health;
    private readonly ITimer _silence;
    private readonly Lock _gate = new();
    private readonly List<(ZmtpSocket Socket, int Port)> _followers = [];
    private IPAddress _current;
    private IPAddress? _other;

    /// <summary>Connects to the main.</summary>
    /// <param name="main">The address to begin with.</param>
    /// <param name="alternative">The other address; null if it is only known from the first HCHECK.</param>
    /// <param name="ports">The ports of both.</param>
    /// <param name="timeout">After how long without HCHECK it goes to the other address.</param>
    /// <param name="print">Called with a line when it goes to the other address.</param>
    /// <param name="time">The clock.</param>
    public BrokerFollower(
        IPAddress main, IPAddress? alternative, StorePorts ports, TimeSpan timeout, Action<string> print, TimeProvider time)
    {
        (_current, _other, _ports, _timeout, _print) = (main, alternative, ports, timeout, print);
        _silence = time.CreateTimer(_ => Background.Run(MoveAsync), null, timeout, timeout);
        _health = new SubscribeSocket(limits: Limits, time: time) { Received = (_, message) => OnHealthCheck(message) };
        _health.Subscribe("HCHECK");
        Follow(_health, ports.HealthCheck);
    }

    /// <summary>For the sockets: short delays between attempts, since a load balancer that takes over accepts at once.</summary>
    public static ZmtpLimits Limits { get; } = new()
    {
        FirstReconnectDelay = TimeSpan.FromMilliseconds(50),
        LongestReconnectDelay = TimeSpan.FromMilliseconds(400),
    };

    /// <summary>The address that the sockets are connected to.</summary>
    public IPAddress Current
    {
        get
        {
            lock (_gate)
            {
                return _current;
            }
        }
    }

    /// <summary>Keeps a socket connected to a port of the load balancer that serves.</summary>
    public void Follow(ZmtpSocket socket, int port)
    {
        lock (_gate)
        {
            _followers.Add((socket, port));
            socket.Connect(new IPEndPoint(_current, port));
        }
    }

    /// <summary>Forgets a socket; to be called before it is disposed of.</summary>
    public void Leave(ZmtpSocket socket)
    {
        lock (_gate)
        {
            _followers.RemoveAll(follower => follower.Socket == socket);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _silence.DisposeAsync();
        await _health.DisposeAsync();
    }

    // "HCHECK NOALT" or "HCHECK 127.0.0.2". With NOALT the address that was known before is kept: that node may come back.
    private void OnHealthCheck(ZmtpMessage message)
    {
        _silence.Change(_timeout, _timeout);
        if (IPAddress.TryParse(message.ToString().Replace('|', ' ').Split(' ')[^1], out var alternative))
        {
            lock (_gate)
            {
                _other = alternative.Equals(_current) ? _other : alternative;
            }
        }
    }

    private async Task MoveAsync()
    {
        IPAddress from, to;
        List<(ZmtpSocket Socket, int Port)> followers;
        lock (_gate)
        {
            if (_other is null)
            {
                return; // No other address is known. The sockets connect again by themselves.
            }
            (from, to) = (_current, _other);
            (_current, _other) = (to, from);
            followers = [.. _followers];
        }
        _print($"no HCHECK from the load balancer at {from} for {_timeout.TotalSeconds} s: going to {to}");
        await Task.WhenAll(followers.Select(async follower =>
        {
            await follower.Socket.DisconnectAsync(new IPEndPoint(from, follower.Port));
            try
            {
                follower.Socket.Connect(new IPEndPoint(to, follower.Port));
            }
            catch (ObjectDisposedException)
            {
                // The socket was disposed of meanwhile.
            }
        }));
    }
}
