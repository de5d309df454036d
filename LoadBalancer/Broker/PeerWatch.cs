using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>The connection of a broker to the other one: receives its HCHECK, sends it ALTPING, and probes whether it is there.</summary>
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

    /// <summary>Subscribes to its HCHECK.</summary>
    /// <param name="address">The address of the other broker.</param>
    /// <param name="self">The address of this broker, for ALTPING.</param>
    /// <param name="options">The options of the listener.</param>
    /// <param name="heard">Called with each HCHECK.</param>
    /// <param name="logger">For what works in the background.</param>
    /// <param name="time">The clock.</param>
    public PeerWatch(IPAddress address, IPAddress self, BrokerListenerOptions options, Action heard, ILogger logger, TimeProvider time)
    {
        (Address, _self, _options, _logger, _time) = (address, self, options, logger, time);
        // A broker that comes back must be heard before it could be taken for down.
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

    /// <summary>The address of the other broker.</summary>
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

    /// <summary>Stops sending ALTPING.</summary>
    public async Task StopPingingAsync()
    {
        if (_ping is { } ping)
        {
            await _pinging!.DisposeAsync();
            await ping.DisposeAsync();
            _ping = null;
        }
    }

    /// <summary>Probes for one interval whether anything listens at its HCHECK port.</summary>
    public async Task<bool> IsReachableAsync()
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
            return FailureReason.IsLocal(e); // A local error says nothing about the other broker: then it is safer to wait for HCHECK.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopPingingAsync();
        await _health.DisposeAsync();
    }
}
