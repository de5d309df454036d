using System.Collections.Concurrent;
using System.Reflection;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using LoadBalancer.Broker;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>
/// Sends server-sent events about the pools to all readers: a snapshot each second, and each change of state at once. A snapshot is
/// serialised once for all readers. A reader that does not keep up is dropped: its browser connects again and gets the present state.
/// </summary>
internal sealed partial class EventHub : BackgroundService
{
    private const int MostUnread = 16; // events that may wait for a slow reader
    private const int LongestHello = 100; // changes in the first event
    private const int MostRoutes = 100; // in a snapshot

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    // Many changes at once, as when a switch fails, make one snapshot.
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly Func<IReadOnlyList<BackendPool>> _pools;
    private readonly Func<IReadOnlyList<RouteStatistics>> _routes;
    private readonly Func<IReadOnlyList<BrokerStatus>> _brokers;
    private readonly Func<IReadOnlyList<CertificateStatus>> _certificates;
    private readonly ErrorStatistics _errors;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Activity _activity;
    private readonly ConcurrentDictionary<Channel<byte[]>, Reader> _readers = new();
    private readonly Channel<bool> _changed = // not a semaphore, which the loop might use after it was disposed of
        Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private readonly Lock _gate = new(); // guards what follows, and _activity
    private readonly HashSet<BackendPool> _watched = [];
    private readonly EventLog _log;
    private readonly List<byte> _unsent = []; // changes, which are sent together however many they are
    private readonly Dictionary<Backend, (string Pool, State State, DateTimeOffset Since)> _known = []; // since it is up, or down
    private JsonObject? _sent; // the last snapshot, while there are readers of changes
    private string? _user; // who is making a change

    /// <summary>Makes the hub; it sends nothing before it is started.</summary>
    public EventHub(
        Func<IReadOnlyList<BackendPool>> pools, Func<IReadOnlyList<RouteStatistics>> routes, Func<IReadOnlyList<BrokerStatus>> brokers,
        Func<IReadOnlyList<CertificateStatus>> certificates, ErrorStatistics errors, TimeProvider time, ILogger<EventHub> logger)
    {
        (_pools, _routes, _brokers, _certificates, _errors, _time, _logger) =
            (pools, routes, brokers, certificates, errors, time, logger);
        (_activity, _log) = (new Activity(time), new EventLog(time));
    }

    /// <summary>Pools as <c>/api/pools</c> shows them.</summary>
    public JsonArray Pools(IReadOnlyList<BackendPool> pools)
    {
        lock (_gate)
        {
            return StatusJson.Pools(pools, _activity, _brokers(), SinceNeedsLock);
        }
    }

    /// <summary>What the node is doing, in a few numbers.</summary>
    public JsonObject Totals()
    {
        lock (_gate)
        {
            var pools = _pools();
            var totals = TotalsNeedsLock(pools);
            totals["backends"] = pools.Sum(pool => pool.Snapshot.Members.Length);
            totals["down"] = pools.Sum(pool => pool.Snapshot.Members.Count(backend => !backend.Health.IsUp));
            return totals;
        }
    }

    /// <summary>What counts the requests of the routes.</summary>
    public IReadOnlyList<RouteStatistics> AllRoutes => _routes();

    /// <summary>Routes as <c>/api/routes</c> shows them.</summary>
    public JsonArray Routes(IReadOnlyList<RouteStatistics> routes)
    {
        lock (_gate)
        {
            return StatusJson.Routes(routes, _activity);
        }
    }

    /// <summary>One backend, the same way.</summary>
    public JsonObject Backend(Backend backend)
    {
        lock (_gate)
        {
            var isRelayed = _pools().Any(pool => pool.IsRelayed && pool.Snapshot.Members.Contains(backend));
            var json = StatusJson.Backend(backend, isRelayed, _activity.Of(backend), SinceNeedsLock(backend));
            StatusJson.AddDetails(json, backend);
            return json;
        }
    }

    /// <summary>The last five minutes of a pool, or of the backends of it that are named, second by second.</summary>
    public JsonObject History(BackendPool pool, IReadOnlyCollection<string> backends)
    {
        lock (_gate)
        {
            return new JsonObject
            {
                ["time"] = StatusJson.Time(_time.GetUtcNow()),
                ["history"] = backends.Count == 0
                    ? new JsonArray(ActivityJson.History(pool, null, _activity))
                    : new JsonArray([.. pool.Snapshot.Members.Where(backend => backends.Contains(backend.Name))
                        .Select(backend => ActivityJson.History(pool, backend, _activity))]),
            };
        }
    }

    /// <summary>The response times of a pool over a span of time.</summary>
    internal JsonObject Latency(BackendPool pool, LatencySpan span)
    {
        lock (_gate)
        {
            return ActivityJson.Latency(pool, span, _activity.LatencyOf(pool));
        }
    }

    /// <summary>The errors of the last hour.</summary>
    public JsonObject Errors()
    {
        lock (_gate)
        {
            return ActivityJson.Errors(_errors.Groups(), _routes().Select(route => (route, _activity.ErrorsOf(route))));
        }
    }

    /// <summary>The changes of the last time, as they are sent; the one just before this call too.</summary>
    public JsonArray Log()
    {
        lock (_gate)
        {
            return LogNeedsLock(EventLog.Most);
        }
    }

    /// <summary>The changes after one, the oldest first, and whether none between them was forgotten.</summary>
    /// <param name="id">The number of that one; 0 for all.</param>
    public (IReadOnlyList<JsonObject> Changes, bool IsComplete, long LastId) ChangesAfter(long id)
    {
        lock (_gate)
        {
            AddChangesNeedsLock(_pools());
            SendUnsentNeedsLock();
            var (changes, isComplete) = _log.After(id);
            return (changes, isComplete, _log.LastId);
        }
    }

    /// <summary>Goes on with the log of the process that this one replaces; before the start.</summary>
    public void Restore(JsonArray log)
    {
        lock (_gate)
        {
            _log.Restore(log);
        }
    }

    /// <summary>Sends a change that concerns the node as a whole.</summary>
    public void Note(string text)
    {
        lock (_gate)
        {
            AddChangeNeedsLock(null, null, text);
            SendUnsentNeedsLock();
        }
    }

    /// <summary>Sends a change that concerns a pool.</summary>
    public void Note(string pool, string text)
    {
        lock (_gate)
        {
            AddChangeNeedsLock(pool, null, text, _user);
            SendUnsentNeedsLock();
        }
    }

    /// <summary>Makes a change of backends, and tells readers who has made it.</summary>
    public async Task<T> AttributeAsync<T>(ManagementUser user, Func<Task<T>> change)
    {
        lock (_gate)
        {
            AddChangesNeedsLock(_pools());
            _user = user == ManagementUser.Nameless ? null : user.Name;
        }
        try
        {
            return await change();
        }
        finally
        {
            lock (_gate)
            {
                AddChangesNeedsLock(_pools());
                _user = null;
                SendUnsentNeedsLock();
            }
        }
    }

    /// <inheritdoc/>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        TryUpdate(isTick: true); // The loop begins somewhat later, perhaps after the first requests: they are counted from here on.
        return base.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Second, _time);
        var tick = timer.WaitForNextTickAsync(stoppingToken).AsTask();
        var change = _changed.Reader.ReadAsync(stoppingToken).AsTask();
        while (!stoppingToken.IsCancellationRequested)
        {
            await Task.WhenAny(tick, change);
            if (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            var isTick = tick.IsCompleted;
            if (change.IsCompleted)
            {
                await Task.Delay(Pause, _time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                change = _changed.Reader.ReadAsync(stoppingToken).AsTask();
            }
            TryUpdate(isTick);
            tick = isTick ? timer.WaitForNextTickAsync(stoppingToken).AsTask() : tick;
        }
    }

    // An error here must not end the events of the next seconds.
    private void TryUpdate(bool isTick)
    {
        try
        {
            Update(isTick);
        }
        catch (Exception e)
        {
            LogFailed(e);
        }
    }

    private void Update(bool isTick)
    {
        lock (_gate)
        {
            var pools = _pools();
            foreach (var pool in pools.Where(_watched.Add))
            {
                pool.SnapshotChanged += OnChange;
            }
            _watched.RemoveWhere(pool => !pools.Contains(pool));
            AddChangesNeedsLock(pools);
            SendUnsentNeedsLock();
            if (isTick)
            {
                _activity.Sample(pools, _routes());
            }
            SendSnapshotNeedsLock();
        }
    }

    private void OnChange(BackendPool pool) => _changed.Writer.TryWrite(true); // One that is there already does for both.

    private void AddChangesNeedsLock(IReadOnlyList<BackendPool> pools)
    {
        var isFirst = _known.Count == 0;
        var members = pools.SelectMany(pool => pool.Snapshot.Members.Select(backend => (Backend: backend, Pool: pool.Name))).ToList();
        foreach (var (backend, pool) in members)
        {
            var now = State.Of(backend);
            if (!_known.TryGetValue(backend, out var before))
            {
                if (!isFirst)
                {
                    AddChangeNeedsLock(pool, backend.Name, $"joined: {backend.Address}, weight {backend.Weight}", _user);
                }
            }
            else if (before.State != now)
            {
                foreach (var (text, isOfOperator) in now.ChangesSince(before.State))
                {
                    AddChangeNeedsLock(pool, backend.Name, text, isOfOperator ? _user : null);
                }
            }
            _known[backend] = (pool, now, before.State?.IsUp == now.IsUp ? before.Since : _time.GetUtcNow());
        }
        var present = members.Select(member => member.Backend).ToHashSet();
        foreach (var (gone, (pool, _, _)) in _known.Where(entry => !present.Contains(entry.Key)).ToList())
        {
            _known.Remove(gone);
            AddChangeNeedsLock(pool, gone.Name, "left");
        }
    }

    private void AddChangeNeedsLock(string? pool, string? backend, string text, string? user = null)
    {
        text = user is null ? text : $"{text} (by {user})";
        var change = _log.Add(StatusJson.Time(_time.GetUtcNow()), pool, backend, text, user);
        _unsent.AddRange(Event("change", change));
    }

    private JsonArray LogNeedsLock(int count)
    {
        AddChangesNeedsLock(_pools());
        SendUnsentNeedsLock();
        return _log.Last(count);
    }

    private DateTimeOffset? SinceNeedsLock(Backend backend) => _known.TryGetValue(backend, out var known) ? known.Since : null;

    // Those who want little ask for the history of what they show.
    private JsonObject HelloNeedsLock(ManagementUser user, bool isBrief) => new()
    {
        ["user"] = user.ToJson(),
        ["node"] = typeof(EventHub).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion,
        ["seconds"] = Activity.Seconds,
        ["history"] = isBrief ? new JsonArray() : new JsonArray([.. _pools().SelectMany(pool =>
            pool.Snapshot.Members.Select(backend => ActivityJson.History(pool, backend, _activity))
                .Prepend(ActivityJson.History(pool, null, _activity)))]),
        ["log"] = LogNeedsLock(LongestHello),
    };

    private JsonObject TotalsNeedsLock(IReadOnlyList<BackendPool> pools)
    {
        var totals = new JsonObject { ["inFlight"] = pools.Sum(pool => pool.Snapshot.Members.Sum(backend => backend.InFlight)) };
        StatusJson.Add(totals, _activity.Total);
        return totals;
    }

    private JsonObject SnapshotNeedsLock()
    {
        var pools = _pools();
        var routes = _routes();
        return new JsonObject
        {
            ["time"] = StatusJson.Time(_time.GetUtcNow()),
            ["status"] = pools.All(pool => !pool.Snapshot.Eligible.IsEmpty) ? "ok" : "unavailable",
            ["totals"] = TotalsNeedsLock(pools),
            ["errors"] = StatusJson.Errors(_errors.Summary()),
            ["pools"] = StatusJson.Pools(pools, _activity, _brokers(), SinceNeedsLock),
            ["routes"] = StatusJson.Routes(BusiestNeedsLock(routes), _activity),
            ["routeCount"] = routes.Count,
            ["certificates"] = StatusJson.Certificates(_certificates()),
        };
    }

    // In the order of the configuration; of very many those that have the most to do.
    private IReadOnlyList<RouteStatistics> BusiestNeedsLock(IReadOnlyList<RouteStatistics> routes)
    {
        if (routes.Count <= MostRoutes)
        {
            return routes;
        }
        var busiest = routes.OrderByDescending(route => _activity.Of(route).RequestsPerSecond).Take(MostRoutes).ToHashSet();
        return [.. routes.Where(busiest.Contains)];
    }

    [LoggerMessage(71, LogLevel.Error, "management: the events of this second were not sent")]
    private partial void LogFailed(Exception exception);

    /// <summary>What of a backend makes an event when it changes.</summary>
    private sealed record State(bool IsUp, bool IsPending, string Reason, AdminState AdminState, int Weight)
    {
        public static State Of(Backend backend) =>
            new(backend.Health.IsUp, backend.Health.IsPending, backend.Health.Reason, backend.AdminState, backend.Weight);

        public IEnumerable<(string Text, bool IsOfOperator)> ChangesSince(State before)
        {
            if (IsUp != before.IsUp || IsPending != before.IsPending)
            {
                yield return ($"is {(IsUp ? "up" : "down")}: {Reason}", false);
            }
            if (AdminState != before.AdminState)
            {
                yield return ($"was set to {AdminState}", true);
            }
            if (Weight != before.Weight)
            {
                yield return ($"has weight {Weight} instead of {before.Weight}", true);
            }
        }
    }
}
