using System.Net.Sockets;
using LoadBalancer.Acme;
using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Routes;
using LoadBalancer.Http.Server;
using LoadBalancer.Listeners;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;
using LoadBalancer.Tcp;

namespace LoadBalancer.Composition;

/// <summary>
/// The listeners of a node, which come, go and change with its configuration: <see cref="Prepare"/>, <see cref="Publish"/>, then
/// <see cref="SwitchAsync"/>.
/// </summary>
internal sealed class NodeListeners : IDisposable
{
    private readonly NodeListenerParts _parts;
    private readonly ListenerFactory _factory;
    private readonly NodeGuards _guards;
    private readonly Lock _gate = new(); // guards _leaving
    private readonly List<NodeListener> _leaving = [];
    private volatile IReadOnlyList<NodeListener> _all = [];
    private volatile IReadOnlyList<string> _planned = []; // the access logs of a change that is prepared
    private readonly bool _isMade; // A change from now on must find out whether it can have its addresses.

    /// <summary>Makes the listeners; the options must be valid.</summary>
    /// <param name="options">The options.</param>
    /// <param name="pools">The pools.</param>
    /// <param name="parts">What the listeners have in common.</param>
    /// <param name="started">Called when all of them listen.</param>
    /// <param name="longestStop">How long a stop may take.</param>
    /// <exception cref="StartException">One of them cannot be made; none is left open.</exception>
    public NodeListeners(
        LoadBalancerOptions options, PoolsChange pools, NodeListenerParts parts, Action started, Func<TimeSpan> longestStop)
    {
        (_parts, _factory, _guards) = (parts, new ListenerFactory(parts), new NodeGuards(parts.Time, parts.Loggers));
        Service = new ListenerService(
            () => Listeners, started + parts.Sockets.CloseReserved, Forget, InFlight, longestStop, parts.Time,
            parts.Loggers.CreateLogger<ListenerService>());
        try
        {
            Publish(Prepare(options, pools));
            _isMade = true;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Starts and stops them.</summary>
    public ListenerService Service { get; }

    /// <summary>Completes when no listener waits for the end of another one to start. The next change must wait for it.</summary>
    public Task Turns { get; private set; } = Task.CompletedTask;

    /// <summary>The listeners with their options, in the order of the configuration.</summary>
    public IReadOnlyList<NodeListener> All => _all;

    /// <summary>The listeners, in the order of the configuration.</summary>
    public IReadOnlyList<IListener> Listeners => [.. _all.Select(entry => entry.Listener)];

    /// <summary>The status and counters of the brokers among them.</summary>
    public IReadOnlyList<BrokerStatus> Brokers => [.. Listeners.OfType<BrokerListener>().Select(broker => broker.Status)];

    /// <summary>Counts of what the guards of the Http listeners have rejected.</summary>
    public IReadOnlyList<GuardRejections> Rejections => [.. _all.Select(entry => entry.Http?.Rejections).OfType<GuardRejections>()];

    /// <summary>What was answered to the requests of each route, in the order of the configuration.</summary>
    public IReadOnlyList<RouteStatistics> Routes => [.. _all.SelectMany(entry => entry.Http?.Routing.Current.Statistics.Values ?? [])];

    /// <summary>Counts of the copies of requests that routes of the Http listeners have sent to other pools.</summary>
    public MirrorCounts Mirrored => _factory.Mirrored;

    /// <summary>Their certificates.</summary>
    public IReadOnlyList<CertificateStatus> Certificates => [.. Listeners.SelectMany(listener => listener.Certificates)];

    /// <summary>Divides the rate limits among so many nodes.</summary>
    public void Share(int nodes) => _guards.Share(nodes);

    /// <summary>
    /// Makes what new options need: routing tables, relay targets, listeners; reserves their addresses. Changes nothing yet: it is for
    /// <see cref="Publish"/>.
    /// </summary>
    /// <param name="options">The options, which must be valid.</param>
    /// <param name="pools">The pools that there will be.</param>
    /// <exception cref="StartException">A file cannot be used, or an address cannot be had; nothing is left open.</exception>
    public ListenersChange Prepare(LoadBalancerOptions options, PoolsChange pools)
    {
        var guards = _guards.Prepare(options);
        var change = new ListenersChange();
        change.Discard.Add(() => _guards.Discard(guards));
        change.Publish.Add(() => _guards.Commit(guards));
        change.Publish.Add(() => _factory.Apply(options));
        try
        {
            _planned = LogsOf(options.Listeners.Values);
            _parts.AccessLogs.Open(options.Listeners);
            var plan = new ListenerPlan(options, pools, guards);
            foreach (var (name, wanted) in options.Listeners)
            {
                PrepareOne(change, name, wanted, plan, _all.FirstOrDefault(entry => HasName(entry, name)));
            }
            return change;
        }
        catch
        {
            Discard(change);
            throw;
        }
    }

    /// <summary>Makes sure that every listener will have its address; before the start.</summary>
    /// <param name="later">
    /// The names of brokers that take theirs when the process that this one replaces has left. That process may take them now.
    /// </param>
    /// <exception cref="StartException">An address cannot be had.</exception>
    public void ReserveAll(IReadOnlyCollection<string> later)
    {
        foreach (var entry in _all.Where(entry => entry.Options is not BrokerListenerOptions || !later.Contains(entry.Name)))
        {
            Reserve(entry.Name, entry.Options);
        }
    }

    /// <summary>Disposes of what was prepared and is not published.</summary>
    public void Discard(ListenersChange change)
    {
        change.Discard.ForEach(discard => discard());
        change.Made.ForEach(made => made.Listener.Dispose());
        _parts.Sockets.CloseReserved();
        _planned = [];
        CloseUnusedLogs();
    }

    /// <summary>Publishes new routing tables and relay targets, and the listeners as they will be. Cannot fail.</summary>
    public void Publish(ListenersChange change)
    {
        change.Gone.AddRange(_all.Except(change.Next));
        lock (_gate)
        {
            _leaving.AddRange(change.Gone);
        }
        change.Publish.ForEach(publish => publish());
        _all = change.Next;
        _planned = [];
        foreach (var pool in _parts.Pools.All)
        {
            pool.IsRelayed = _all.Any(entry =>
                entry.Options is TcpListenerOptions && entry.Options.Pool.Equals(pool.Name, StringComparison.OrdinalIgnoreCase));
            pool.IsJoinedByWorkers = _all.Any(entry =>
                entry.Options.HasWorkers && entry.Options.Pool.Equals(pool.Name, StringComparison.OrdinalIgnoreCase));
        }
    }

    /// <summary>
    /// Starts the listeners that come, and lets those that go finish what they have: <see cref="ListenerService.SwitchAsync"/>.
    /// </summary>
    public async Task SwitchAsync(ListenersChange change)
    {
        await Service.SwitchAsync(
            [.. change.Gone.Select(entry => entry.Listener)],
            [.. change.Made.Select(made => new ListenerArrival(made.Listener, MustEndBefore(made)))]);
        Turns = Service.IsRunning ? CloseReservedAsync() : Task.CompletedTask; // Else they are taken at the start.
        CloseUnusedLogs();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var listener in Listeners)
        {
            listener.Dispose();
        }
        Service.Dispose();
        _guards.Dispose();
    }

    private void PrepareOne(ListenersChange change, string name, ListenerOptions wanted, ListenerPlan plan, NodeListener? entry)
    {
        if (entry is { Http: { } http } && wanted is HttpListenerOptions httpWanted)
        {
            var table = _factory.Table(name, httpWanted, plan, http.Rejections, http.Routing.Current);
            change.Publish.Add(() => http.Routing.Current = table);
        }
        if (entry is null || entry.Options.NeedsAnother(wanted))
        {
            Replace(change, name, wanted, plan, entry);
            return;
        }
        var listener = entry.Listener;
        change.Next.Add(entry);
        change.Publish.Add(() =>
        {
            listener.Apply(wanted);
            entry.Options = wanted;
        });
        if (wanted is TcpListenerOptions tcp && listener is TcpRelayListener relay)
        {
            var target = ListenerFactory.Target(tcp, plan);
            change.Publish.Add(() => relay.Target = target);
        }
        if (listener is KestrelListener kestrel)
        {
            change.Publish.Add(() => Configure(kestrel, entry, plan.Options));
        }
    }

    private void Replace(ListenersChange change, string name, ListenerOptions wanted, ListenerPlan plan, NodeListener? entry)
    {
        if (_isMade)
        {
            Reserve(name, wanted);
        }
        var made = _factory.Make(name, wanted, plan, entry?.Http);
        change.Made.Add(made);
        change.Next.Add(made);
        if (made.Listener is KestrelListener kestrel)
        {
            change.Publish.Add(() => Configure(kestrel, made, plan.Options));
        }
    }

    // Of this change, or of one before.
    private IReadOnlyList<IListener> MustEndBefore(NodeListener made)
    {
        lock (_gate)
        {
            return [.. _leaving.Where(old => made.Options.MustWaitFor(old.Options)).Select(old => old.Listener)];
        }
    }

    private void Configure(KestrelListener listener, NodeListener entry, LoadBalancerOptions options)
    {
        (listener.ErrorPages, listener.SendTimeout) = (entry.Http!.Routing.Current.ErrorPages, ListenerFactory.SendTimeout(options));
        // The authority may ask any node of a cluster.
        var isAsked = entry.Options.Address.Scheme != "https" && (AcmeKeeper.IsNeeded(options) || options.Cluster?.SecretFile is not null);
        listener.Before = isAsked ? _parts.Challenges.Answer : null;
    }

    // A broker binds and frees its ports as its role changes. So it is only asked whether they could be had.
    private void Reserve(string name, ListenerOptions wanted)
    {
        foreach (var address in wanted.Addresses)
        {
            try
            {
                _parts.Sockets.Reserve(address, isTrial: wanted is BrokerListenerOptions, wanted.UnixMode);
            }
            catch (SocketException e)
            {
                throw new StartException($"listener '{name}': cannot listen on {address}: {ListenAddress.WhyNot(e)}", e);
            }
        }
    }

    // Of Http listeners that share a pool each has all of it.
    private string? InFlight(IListener listener)
    {
        var options = Known().FirstOrDefault(entry => entry.Listener == listener)?.Options;
        var pools = (options?.PoolNames ?? []).Distinct(StringComparer.OrdinalIgnoreCase).Select(_parts.Pools.Find).OfType<BackendPool>();
        return listener switch
        {
            TcpRelayListener tcp => Text(tcp.Connections, "connection"),
            TasksListener { Counts: var counts } => Text(counts.Waiting + counts.Running, "task"),
            _ => Text(pools.Sum(pool => pool.WaitingCount + pool.Snapshot.Members.Sum(backend => backend.InFlight)), "request"),
        };

        static string? Text(int count, string what) => count switch { 0 => null, 1 => $"1 {what}", _ => $"{count} {what}s" };
    }

    private void Forget(IListener listener)
    {
        lock (_gate)
        {
            _leaving.RemoveAll(entry => entry.Listener == listener);
        }
        listener.Dispose();
        CloseUnusedLogs();
    }

    private IEnumerable<NodeListener> Known()
    {
        lock (_gate)
        {
            return [.. _all, .. _leaving];
        }
    }

    private async Task CloseReservedAsync()
    {
        await Service.Turns;
        _parts.Sockets.CloseReserved();
    }

    private void CloseUnusedLogs() =>
        _parts.AccessLogs.CloseUnused([.. _planned, .. LogsOf(Known().Select(entry => entry.Options))]);

    private static IReadOnlyList<string> LogsOf(IEnumerable<ListenerOptions> listeners) =>
        [.. listeners.OfType<HttpListenerOptions>().Select(listener => listener.AccessLog)];

    private static bool HasName(NodeListener entry, string name) => entry.Name.Equals(name, StringComparison.OrdinalIgnoreCase);
}
