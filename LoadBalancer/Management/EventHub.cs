using System.Collections.Concurrent;
using System.Reflection;
using System.Text;
using System.Text.Json;
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
public sealed partial class EventHub : BackgroundService
{
    private const int MostUnread = 16; // events that may wait for a slow reader
    private const int LongestLog = 100;
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
    private readonly Queue<JsonNode> _log = new();
    private readonly List<byte> _unsent = []; // changes, which are sent together however many they are
    private readonly Dictionary<Backend, (string Pool, State State, DateTimeOffset Since)> _known = []; // since it is up, or down
    private JsonObject? _sent; // the last snapshot, while there are readers of changes

    /// <summary>Makes the hub; it sends nothing before it is started.</summary>
    public EventHub(
        Func<IReadOnlyList<BackendPool>> pools, Func<IReadOnlyList<RouteStatistics>> routes, Func<IReadOnlyList<BrokerStatus>> brokers,
        Func<IReadOnlyList<CertificateStatus>> certificates, ErrorStatistics errors, TimeProvider time, ILogger<EventHub> logger)
    {
        (_pools, _routes, _brokers, _certificates, _errors, _time, _logger) =
            (pools, routes, brokers, certificates, errors, time, logger);
        _activity = new Activity(time);
    }

    /// <summary>The pools as <c>/api/pools</c> shows them.</summary>
    public JsonArray Pools()
    {
        lock (_gate)
        {
            return StatusJson.Pools(_pools(), _activity, _brokers(), SinceNeedsLock);
        }
    }

    /// <summary>The routes as <c>/api/routes</c> shows them.</summary>
    public JsonArray Routes()
    {
        lock (_gate)
        {
            return StatusJson.Routes(_routes(), _activity);
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
            AddChangesNeedsLock(_pools());
            SendUnsentNeedsLock();
            return [.. _log.Select(change => change.DeepClone())];
        }
    }

    /// <summary>Goes on with the log of the process that this one replaces; before the start.</summary>
    public void Restore(JsonArray log)
    {
        lock (_gate)
        {
            foreach (var change in log.OfType<JsonObject>().Where(IsChange).TakeLast(LongestLog))
            {
                _log.Enqueue(change.DeepClone());
            }
        }

        static bool IsChange(JsonObject change) => IsText(change["time"]) && IsText(change["text"]);
        static bool IsText(JsonNode? node) => node?.GetValueKind() == JsonValueKind.String;
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

    /// <summary>
    /// Writes events until the client leaves, falls behind, or the node stops. With <c>?changes</c> in its query a snapshot is sent once, and
    /// then only what has changed.
    /// </summary>
    public async Task ServeAsync(HttpContext context, CancellationToken stopping)
    {
        var wantsChanges = context.Request.Query.ContainsKey("changes");
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        var events = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MostUnread));
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        try
        {
            lock (_gate)
            {
                events.Writer.TryWrite(Event("hello", HelloNeedsLock(wantsChanges)));
                // What changes later is said in comparison with what all of them were sent last.
                events.Writer.TryWrite(Event("snapshot", wantsChanges ? _sent ??= SnapshotNeedsLock() : SnapshotNeedsLock()));
                _readers[events] = new Reader(ended, wantsChanges);
            }
            await foreach (var text in events.Reader.ReadAllAsync(ended.Token))
            {
                await context.Response.Body.WriteAsync(text, ended.Token);
                await context.Response.Body.FlushAsync(ended.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            if (!stopping.IsCancellationRequested)
            {
                context.Abort(); // The client has left, or has not kept up.
            }
        }
        finally
        {
            lock (_gate)
            {
                _readers.TryRemove(events, out _);
            }
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Second, _time);
        var tick = timer.WaitForNextTickAsync(stoppingToken).AsTask();
        var change = _changed.Reader.ReadAsync(stoppingToken).AsTask();
        TryUpdate(isTick: true);
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
                    AddChangeNeedsLock(pool, backend.Name, $"joined: {backend.Address}, weight {backend.Weight}");
                }
            }
            else if (before.State != now)
            {
                foreach (var text in now.ChangesSince(before.State))
                {
                    AddChangeNeedsLock(pool, backend.Name, text);
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

    private void AddChangeNeedsLock(string? pool, string? backend, string text)
    {
        var time = StatusJson.Time(_time.GetUtcNow());
        var change = new JsonObject { ["time"] = time, ["pool"] = pool, ["backend"] = backend, ["text"] = text };
        _log.Enqueue(change);
        if (_log.Count > LongestLog)
        {
            _log.Dequeue();
        }
        _unsent.AddRange(Event("change", change));
    }

    private void SendUnsentNeedsLock()
    {
        if (_unsent.Count > 0)
        {
            SendNeedsLock([.. _unsent]);
            _unsent.Clear();
        }
    }

    // To all readers, or to those who want changes only, or to the others.
    private void SendNeedsLock(byte[] text, bool? ofChanges = null)
    {
        foreach (var (events, reader) in _readers)
        {
            // A reader that leaves removes itself under the lock that is held here, so its token source is not disposed of yet.
            if ((ofChanges ?? reader.WantsChanges) == reader.WantsChanges && !events.Writer.TryWrite(text)
                && _readers.TryRemove(events, out _))
            {
                BackgroundTask.Run(reader.Ended.CancelAsync(), _logger, "management: ending an event stream");
            }
        }
    }

    private void SendSnapshotNeedsLock()
    {
        var readers = _readers.Values;
        if (readers.All(reader => !reader.WantsChanges))
        {
            _sent = null;
        }
        if (readers.Count == 0)
        {
            return;
        }
        var snapshot = SnapshotNeedsLock();
        if (readers.Any(reader => !reader.WantsChanges))
        {
            SendNeedsLock(Event("snapshot", snapshot), ofChanges: false);
        }
        if (_sent is not null)
        {
            SendNeedsLock(Event("update", StatusChanges.Between(_sent, snapshot)), ofChanges: true);
            _sent = snapshot;
        }
    }

    private DateTimeOffset? SinceNeedsLock(Backend backend) => _known.TryGetValue(backend, out var known) ? known.Since : null;

    // Those who want little ask for the history of what they show.
    private JsonObject HelloNeedsLock(bool isBrief) => new()
    {
        ["node"] = typeof(EventHub).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion,
        ["seconds"] = Activity.Seconds,
        ["history"] = isBrief ? new JsonArray() : new JsonArray([.. _pools().SelectMany(pool =>
            pool.Snapshot.Members.Select(backend => ActivityJson.History(pool, backend, _activity))
                .Prepend(ActivityJson.History(pool, null, _activity)))]),
        ["log"] = Log(),
    };

    private JsonObject SnapshotNeedsLock()
    {
        var pools = _pools();
        var routes = _routes();
        var totals = new JsonObject { ["inFlight"] = pools.Sum(pool => pool.Snapshot.Members.Sum(backend => backend.InFlight)) };
        StatusJson.Add(totals, _activity.Total);
        return new JsonObject
        {
            ["time"] = StatusJson.Time(_time.GetUtcNow()),
            ["status"] = pools.All(pool => !pool.Snapshot.Eligible.IsEmpty) ? "ok" : "unavailable",
            ["totals"] = totals,
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

    private static byte[] Event(string name, JsonNode data)
    {
        var json = JsonText.Bytes(data);
        return [.. Encoding.UTF8.GetBytes($"event: {name}\ndata: "), .. json, .. "\n\n"u8];
    }

    [LoggerMessage(71, LogLevel.Error, "management: the events of this second were not sent")]
    private partial void LogFailed(Exception exception);

    /// <summary>One who reads the events.</summary>
    private sealed record Reader(CancellationTokenSource Ended, bool WantsChanges);

    /// <summary>What of a backend makes an event when it changes.</summary>
    private sealed record State(bool IsUp, bool IsPending, string Reason, AdminState AdminState, int Weight)
    {
        public static State Of(Backend backend) =>
            new(backend.Health.IsUp, backend.Health.IsPending, backend.Health.Reason, backend.AdminState, backend.Weight);

        public IEnumerable<string> ChangesSince(State before)
        {
            if (IsUp != before.IsUp || IsPending != before.IsPending)
            {
                yield return $"is {(IsUp ? "up" : "down")}: {Reason}";
            }
            if (AdminState != before.AdminState)
            {
                yield return $"was set to {AdminState}";
            }
            if (Weight != before.Weight)
            {
                yield return $"has weight {Weight} instead of {before.Weight}";
            }
        }
    }
}
