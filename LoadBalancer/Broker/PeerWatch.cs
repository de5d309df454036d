using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>What a broker has to do with the other one: it hears that one's HCHECK, sends it ALTPING, and looks whether it is there.</summary>
internal sealed class PeerWatch : IAsyncDisposable
{
    private readonly BrokerListenerOptions _options;
    private readonly IPAddress _self;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly ZmtpLimits _limits;
    private readonly SubscribeSocket _health;
    private PublishSocket? _ping;
    private ITimer? _pinging;

    /// <summary>Begins to listen.</summary>
    /// <param name="address">Where the other one is.</param>
    /// <param name="self">What this one is called there.</param>
    /// <param name="options">The listener's.</param>
    /// <param name="heard">Called with each HCHECK.</param>
    /// <param name="logger">For what works in the background.</param>
    /// <param name="time">The clock.</param>
    public PeerWatch(IPAddress address, IPAddress self, BrokerListenerOptions options, Action heard, ILogger logger, TimeProvider time)
    {
        (Address, _self, _options, _logger, _time) = (address, self, options, logger, time);
        // Whoever comes back must be heard before it could be taken for gone.
        var soon = options.PublishInterval / 4;
        _limits = new ZmtpLimits { FirstReconnectDelay = soon / 2, LongestReconnectDelay = soon };
        _health = new SubscribeSocket(ZmtpSocketType.Sub, _limits, time)
        {
            Logger = logger,
            Received = (_, message) =>
            {
                if (PeerMessages.IsHealthCheck(message))
                {
                    heard();
                }
            },
        };
        _health.Subscribe(PeerMessages.HealthCheckTopic);
        _health.Connect(new IPEndPoint(address, options.Ports.HealthCheck));
    }

    /// <summary>Where it is.</summary>
    public IPAddress Address { get; }

    /// <summary>Sends ALTPING from now on.</summary>
    public void StartPinging()
    {
        if (_ping is not null)
        {
            return;
        }
        _ping = new PublishSocket(ZmtpSocketType.Pub, _limits, _time) { Logger = _logger };
        _ping.Connect(new IPEndPoint(Address, _options.Ports.AlternativePing));
        var message = PeerMessages.AlternativePing(_self);
        _pinging = _time.CreateTimer(socket => ((PublishSocket)socket!).Publish(message), _ping, TimeSpan.Zero, _options.PublishInterval);
    }

    /// <summary>Sends no more.</summary>
    public async Task StopPingingAsync()
    {
        if (_ping is { } ping)
        {
            await _pinging!.DisposeAsync();
            await ping.DisposeAsync();
            _ping = null;
        }
    }

    /// <summary>Looks whether anybody listens at its HCHECK port, in one interval: what cannot be reached cannot be asked.</summary>
    public async Task<bool> IsAnybodyThereAsync()
    {
        using var timeout = new CancellationTokenSource(_options.PublishInterval, _time);
        using var socket = new Socket(Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(Address, _options.Ports.HealthCheck), timeout.Token);
            return true;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return FailureReason.IsLocal(e); // Where the fault is ours we know nothing, and had better listen.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopPingingAsync();
        await _health.DisposeAsync();
    }
}
