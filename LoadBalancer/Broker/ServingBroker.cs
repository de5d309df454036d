using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Transport;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>A main: its six ports, and the parts that serve them.</summary>
internal sealed class ServingBroker : IAsyncDisposable
{
    private const int LongestSmall = 4 * 1024; // bytes: subscriptions, ALTPING, signs of life

    private readonly string _listener;
    private readonly BrokerListenerOptions _options;
    private readonly ListenSockets _sockets;
    private readonly MainLease? _lease;

    /// <summary>Creates it; nothing listens yet.</summary>
    public ServingBroker(string listener, BrokerListenerOptions options, BackendPool pool, BrokerLog log, Rejections rejections,
        ErrorStatistics errors, ListenSockets sockets, TimeProvider time, MainLease? lease = null)
    {
        (_listener, _options, _sockets, _lease) = (listener, options, sockets, lease);
        var limits = new ZmtpLimits { Connections = options.MaxConnections ?? int.MaxValue, BufferedBytes = options.MaxBufferedBytes };
        var small = limits with { FrameBytes = LongestSmall, MessageBytes = LongestSmall };
        Health = new HealthPublisher(rejections, small, time);
        Alternatives = new AlternativeRegister(options.PeerTimeout, log, rejections, small, time);
        Check = new WorkerCheck(rejections, small, time, lease?.IsHeld);
        Requests = new RequestBroker(listener, pool, options.QueueLimit, log, rejections, limits, errors, time)
        {
            MayServe = lease?.IsHeld,
        };
    }

    /// <summary>Publishes HCHECK.</summary>
    public HealthPublisher Health { get; }

    /// <summary>Receives ALTPING.</summary>
    public AlternativeRegister Alternatives { get; }

    /// <summary>Forwards the signs of life of busy workers to clients.</summary>
    public WorkerCheck Check { get; }

    /// <summary>Passes requests to workers, and answers to clients.</summary>
    public RequestBroker Requests { get; }

    /// <summary>The ports at which it really listens; 0 for those at which it does not.</summary>
    public BrokerPorts Ports { get; private set; } =
        new() { Clients = 0, Workers = 0, HealthCheck = 0, AlternativePing = 0, WorkerCheckClients = 0, WorkerCheckWorkers = 0 };

    /// <summary>Binds the HCHECK port, and publishes nothing; a second call has no effect.</summary>
    /// <exception cref="StartException">The port cannot be bound.</exception>
    public void Hold()
    {
        if (Ports.HealthCheck == 0)
        {
            Ports = Ports with { HealthCheck = Bind(Health.Socket, nameof(BrokerPorts.HealthCheck), _options.Ports.HealthCheck) };
        }
    }

    /// <summary>Binds all ports, and publishes HCHECK. Clients come last: when the first request comes, workers may be connected.</summary>
    /// <exception cref="StartException">A port cannot be bound.</exception>
    public void Serve()
    {
        var wanted = _options.Ports;
        Hold();
        Ports = Ports with { AlternativePing = Bind(Alternatives.Socket, nameof(wanted.AlternativePing), wanted.AlternativePing) };
        Ports = Ports with { WorkerCheckWorkers = Bind(Check.Workers, nameof(wanted.WorkerCheckWorkers), wanted.WorkerCheckWorkers) };
        Ports = Ports with { WorkerCheckClients = Bind(Check.Clients, nameof(wanted.WorkerCheckClients), wanted.WorkerCheckClients) };
        Ports = Ports with { Workers = Bind(Requests.Workers, nameof(wanted.Workers), wanted.Workers) };
        Ports = Ports with { Clients = Bind(Requests.Clients, nameof(wanted.Clients), wanted.Clients) };
        Health.Start(
            _options.PublishInterval, _lease is null ? () => Alternatives.Current.Address : _lease.Alternative, _lease?.IsHeld);
    }

    /// <summary>Accepts nothing more at any port. HCHECK goes on for who is connected. See <see cref="RequestBroker.Leave"/>.</summary>
    public void Leave()
    {
        foreach (ZmtpSocket socket in (ZmtpSocket[])
            [Health.Socket, Alternatives.Socket, Check.Workers, Check.Clients, Requests.Clients, Requests.Workers])
        {
            BackgroundTask.Run(socket.UnbindAsync(), socket.Logger, $"listener '{_listener}': closing a port");
        }
        Requests.Leave();
    }

    /// <summary>
    /// Stops HCHECK first, so that the alternative takes over as soon as possible; accepts nothing new, and lets workers finish their
    /// requests until the token is cancelled.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await Health.DisposeAsync();
        await Requests.Clients.UnbindAsync();
        await Requests.Workers.UnbindAsync();
        await Requests.StopAsync(cancellationToken);
        await DisposeAsync();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Health.DisposeAsync();
        await Requests.DisposeAsync();
        await Check.DisposeAsync();
        await Alternatives.DisposeAsync();
    }

    private int Bind(ZmtpSocket socket, string key, int port)
    {
        var host = _options.Address.Host;
        try
        {
            foreach (var ip in ListenAddress.Resolve(host))
            {
                port = socket.Bind(_sockets.Open(SocketType.Stream, new IPEndPoint(ip, port))).Port;
            }
            return port;
        }
        catch (SocketException e)
        {
            throw new StartException(
                $"listener '{_listener}': cannot listen on {new EndpointAddress("tcp", host, port)} ({key}): {ListenAddress.WhyNot(e)}", e);
        }
    }
}
