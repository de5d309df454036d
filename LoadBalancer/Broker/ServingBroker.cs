using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>The six ports of a main, and what is done there.</summary>
internal sealed class ServingBroker : IAsyncDisposable
{
    private readonly string _listener;
    private readonly BrokerListenerOptions _options;

    /// <summary>Makes it; nothing listens yet.</summary>
    public ServingBroker(string listener, BrokerListenerOptions options, BackendPool pool, BrokerLog log, Refusals refusals, ErrorStatistics errors, TimeProvider time)
    {
        (_listener, _options) = (listener, options);
        var limits = new ZmtpLimits { Connections = options.MaxConnections ?? int.MaxValue };
        Health = new HealthPublisher(refusals, limits, time);
        Alternatives = new AlternativeRegister(options.PeerTimeout, log, refusals, limits, time);
        Check = new WorkerCheck(refusals, limits, time);
        Requests = new RequestBroker(listener, pool, options.QueueLimit, log, refusals, limits, errors, time);
    }

    /// <summary>HCHECK.</summary>
    public HealthPublisher Health { get; }

    /// <summary>ALTPING.</summary>
    public AlternativeRegister Alternatives { get; }

    /// <summary>What workers say while they work.</summary>
    public WorkerCheck Check { get; }

    /// <summary>Requests and answers.</summary>
    public RequestBroker Requests { get; }

    /// <summary>Where it really listens, of those ports at which it does.</summary>
    public BrokerPorts Ports { get; private set; } = new() { Clients = 0, Workers = 0, HealthCheck = 0, AlternativePing = 0, WorkerCheckClients = 0, WorkerCheckWorkers = 0 };

    /// <summary>Listens at the HCHECK port, and says nothing there; a second call does nothing.</summary>
    /// <exception cref="StartException">The port cannot be listened on.</exception>
    public void Hold()
    {
        if (Ports.HealthCheck == 0)
        {
            Ports = Ports with { HealthCheck = Bind(Health.Socket, nameof(BrokerPorts.HealthCheck), _options.Ports.HealthCheck) };
        }
    }

    /// <summary>Listens at all ports, and says so. Clients come last: when the first request comes the workers may be there.</summary>
    /// <exception cref="StartException">A port cannot be listened on.</exception>
    public void Serve()
    {
        var wanted = _options.Ports;
        Hold();
        Ports = Ports with { AlternativePing = Bind(Alternatives.Socket, nameof(wanted.AlternativePing), wanted.AlternativePing) };
        Ports = Ports with { WorkerCheckWorkers = Bind(Check.Workers, nameof(wanted.WorkerCheckWorkers), wanted.WorkerCheckWorkers) };
        Ports = Ports with { WorkerCheckClients = Bind(Check.Clients, nameof(wanted.WorkerCheckClients), wanted.WorkerCheckClients) };
        Ports = Ports with { Workers = Bind(Requests.Workers, nameof(wanted.Workers), wanted.Workers) };
        Ports = Ports with { Clients = Bind(Requests.Clients, nameof(wanted.Clients), wanted.Clients) };
        Health.Start(_options.PublishInterval, () => Alternatives.Current.Address);
    }

    /// <summary>
    /// Falls silent, so that the alternative need not wait any longer than it must; takes nothing new, and lets workers finish what they
    /// are at until the token is cancelled.
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
                port = socket.Bind(new IPEndPoint(ip, port)).Port;
            }
            return port;
        }
        catch (SocketException e)
        {
            throw new StartException($"listener '{_listener}': cannot listen on {new EndpointAddress("tcp", host, port)} ({key}): {ListenAddress.WhyNot(e)}", e);
        }
    }
}
