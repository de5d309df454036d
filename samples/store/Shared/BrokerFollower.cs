using System.Net;
using LoadBalancer.Zmtp;

namespace Store;

/// <summary>
/// Keeps sockets connected to the broker that serves: follows its HCHECK, learns from it who is the alternative, and goes there when
/// nothing is heard any more. Where nothing is heard there either, it comes back.
/// </summary>
internal sealed class BrokerFollower : IAsyncDisposable
{
    private readonly StorePorts _ports;
    private readonly TimeSpan _timeout;
    private readonly Action<string> _say;
    private readonly SubscribeSocket _health;
    private readonly ITimer _silence;
    private readonly Lock _gate = new();
    private readonly List<(ZmtpSocket Socket, int Port)> _followers = [];
    private IPAddress _current;
    private IPAddress? _other;

    /// <summary>Begins with a broker.</summary>
    /// <param name="main">Where one is.</param>
    /// <param name="alternative">Where another one may be; null where that is not known before the first HCHECK.</param>
    /// <param name="ports">Both brokers' ports.</param>
    /// <param name="timeout">After how long without HCHECK it goes to the other one.</param>
    /// <param name="say">Told where it goes.</param>
    /// <param name="time">The clock.</param>
    public BrokerFollower(IPAddress main, IPAddress? alternative, StorePorts ports, TimeSpan timeout, Action<string> say, TimeProvider time)
    {
        (_current, _other, _ports, _timeout, _say) = (main, alternative, ports, timeout, say);
        _silence = time.CreateTimer(_ => _ = MoveAsync(), null, timeout, timeout);
        _health = new SubscribeSocket(limits: Limits, time: time) { Received = (_, message) => OnHealthCheck(message) };
        _health.Subscribe("HCHECK");
        Follow(_health, ports.HealthCheck);
    }

    /// <summary>For sockets that follow: they try again soon, for a broker that takes over is there at once.</summary>
    public static ZmtpLimits Limits { get; } = new() { FirstReconnectDelay = TimeSpan.FromMilliseconds(50), LongestReconnectDelay = TimeSpan.FromMilliseconds(400) };

    /// <summary>Where it is now.</summary>
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

    /// <summary>Keeps a socket connected to a port of the broker that serves.</summary>
    public void Follow(ZmtpSocket socket, int port)
    {
        lock (_gate)
        {
            _followers.Add((socket, port));
            socket.Connect(new IPEndPoint(_current, port));
        }
    }

    /// <summary>Lets go of a socket that is about to be disposed of.</summary>
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

    // "HCHECK NOALT" or "HCHECK 127.0.0.2". Who was the other one before may still be, where there is no alternative now.
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
                return; // It is all we know; the sockets try again by themselves.
            }
            (from, to) = (_current, _other);
            (_current, _other) = (to, from);
            followers = [.. _followers];
        }
        _say($"nothing was heard of the load balancer at {from} for {_timeout.TotalSeconds} s: going to {to}");
        await Task.WhenAll(followers.Select(async follower =>
        {
            await follower.Socket.DisconnectAsync(new IPEndPoint(from, follower.Port));
            try
            {
                follower.Socket.Connect(new IPEndPoint(to, follower.Port));
            }
            catch (ObjectDisposedException)
            {
                // It is not needed any more.
            }
        }));
    }
}
