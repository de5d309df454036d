using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>What a backend or a pool has done lately.</summary>
/// <param name="RequestsPerSecond">Requests in the last second.</param>
/// <param name="ErrorShare">Of the requests of the last seconds, those that failed or were answered with 5xx; 0..1.</param>
/// <param name="P50Ms">Median response time of the last seconds, in milliseconds; null where nothing was answered.</param>
/// <param name="P99Ms">The 99th percentile of the same.</param>
/// <param name="BytesInPerSecond">Bytes that were relayed from clients in the last second.</param>
/// <param name="BytesOutPerSecond">Bytes that were relayed to them.</param>
public sealed record Rates(
    double RequestsPerSecond, double ErrorShare, double? P50Ms, double? P99Ms, double BytesInPerSecond = 0, double BytesOutPerSecond = 0)
{
    /// <summary>Nothing.</summary>
    public static Rates None { get; } = new(0, 0, null, null);
}

/// <summary>
/// What backends and pools have done lately, found by reading their counters once a second: the request path knows nothing of it. The
/// last seconds are weighted exponentially: what is six seconds old counts a tenth. Not safe for several threads at once.
/// </summary>
internal sealed class Activity(TimeProvider time)
{
    /// <summary>How many seconds are remembered.</summary>
    public const int Seconds = 300;

    private const double KeptPerSecond = 0.7;

    private readonly Dictionary<Backend, Track> _backends = [];
    private readonly Dictionary<BackendPool, Queue<Rates>> _pools = [];
    private readonly Dictionary<RouteStatistics, Track> _routes = [];
    private long _sampledAt = time.GetTimestamp();

    /// <summary>Of all pools together.</summary>
    public Rates Total { get; private set; } = Rates.None;

    /// <summary>Of a backend.</summary>
    public Rates Of(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.Rates : Rates.None;

    /// <summary>Of a pool.</summary>
    public Rates Of(BackendPool pool) => HistoryOf(pool).LastOrDefault(Rates.None);

    /// <summary>Of a route.</summary>
    public Rates Of(RouteStatistics route) => _routes.TryGetValue(route, out var track) ? track.Rates : Rates.None;

    /// <summary>Of a backend, second by second, the oldest first.</summary>
    public IReadOnlyCollection<Rates> HistoryOf(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.History : [];

    /// <summary>Of a pool, the same way.</summary>
    public IReadOnlyCollection<Rates> HistoryOf(BackendPool pool) => _pools.TryGetValue(pool, out var history) ? history : [];

    /// <summary>Reads all counters; to be called once a second.</summary>
    public void Sample(IReadOnlyList<BackendPool> pools, IReadOnlyList<RouteStatistics> routes)
    {
        var now = time.GetTimestamp();
        var elapsed = Math.Max(time.GetElapsedTime(_sampledAt, now).TotalSeconds, 0.001);
        _sampledAt = now;
        var snapshots = pools.Select(pool => (Pool: pool, pool.Snapshot.Members)).ToList(); // read once, because members come and go
        var members = snapshots.SelectMany(snapshot => snapshot.Members).ToHashSet();
        Sample(_backends, members, backend => new Track(new BackendCounts(backend), new Queue<Rates>()), elapsed);
        var used = routes.Where(route => !route.Answers.IsEmpty).ToHashSet();
        Sample(_routes, used, route => new Track(new RouteCounts(route), null), elapsed);
        foreach (var gone in _pools.Keys.Except(pools).ToList())
        {
            _pools.Remove(gone);
        }
        foreach (var (pool, itsMembers) in snapshots)
        {
            if (!_pools.TryGetValue(pool, out var history))
            {
                _pools[pool] = history = new Queue<Rates>();
            }
            Remember(history, Sum(itsMembers));
        }
        Total = Sum(members);
    }

    private static void Sample<T>(Dictionary<T, Track> tracks, HashSet<T> present, Func<T, Track> create, double elapsed)
        where T : notnull
    {
        foreach (var gone in tracks.Keys.Where(source => !present.Contains(source)).ToList())
        {
            tracks.Remove(gone);
        }
        foreach (var source in present)
        {
            if (!tracks.TryGetValue(source, out var track))
            {
                tracks[source] = track = create(source);
            }
            track.Sample(elapsed);
        }
    }

    private Rates Sum(IEnumerable<Backend> backends)
    {
        var tracks = backends.Select(backend => _backends[backend]).ToList();
        var times = new double[TimeBuckets.Count];
        foreach (var track in tracks)
        {
            for (var i = 0; i < times.Length; i++)
            {
                times[i] += track.Times[i];
            }
        }
        var requests = tracks.Sum(track => track.Requests);
        return new Rates(
            tracks.Sum(track => track.Rates.RequestsPerSecond), Share(tracks.Sum(track => track.Errors), requests),
            Milliseconds(times, 50), Milliseconds(times, 99),
            tracks.Sum(track => track.Rates.BytesInPerSecond), tracks.Sum(track => track.Rates.BytesOutPerSecond));
    }

    private static void Remember(Queue<Rates> history, Rates rates)
    {
        history.Enqueue(rates);
        if (history.Count > Seconds)
        {
            history.Dequeue();
        }
    }

    private static double Share(double part, double all) => all < 0.01 ? 0 : Math.Min(1, part / all);

    private static double? Milliseconds(double[] times, double percentile)
    {
        var total = times.Sum();
        if (total < 0.1)
        {
            return null; // The last answer was too long ago.
        }
        var left = total * percentile / 100;
        var i = 0;
        while ((left -= times[i]) > 1e-9 && i < times.Length - 1)
        {
            i++;
        }
        return TimeBuckets.UpperBound(i).TotalMilliseconds;
    }

    private static long ServerErrors(AnswerStatistics answers) => answers.Codes().Where(code => code.Code >= 500).Sum(code => code.Count);

    /// <summary>What a source has counted since the start.</summary>
    private interface ICounts
    {
        Counted Read();
    }

    private readonly record struct Counted(long Requests, long Errors, long[] Times, long BytesIn, long BytesOut);

    private sealed class BackendCounts(Backend backend) : ICounts
    {
        public Counted Read() => new(
            backend.Requests, backend.Failures + ServerErrors(backend.Answers), backend.Answers.ResponseTimes(),
            backend.Connections.BytesIn, backend.Connections.BytesOut);
    }

    private sealed class RouteCounts(RouteStatistics route) : ICounts
    {
        public Counted Read()
        {
            var times = route.Answers.ResponseTimes();
            return new Counted(times.Sum(), ServerErrors(route.Answers), times, 0, 0);
        }
    }

    private sealed class Track(ICounts source, Queue<Rates>? history)
    {
        private Counted _before = source.Read();

        public IReadOnlyCollection<Rates> History => history ?? [];

        public Rates Rates { get; private set; } = Rates.None;

        // These three are weighted exponentially.
        public double Requests { get; private set; }

        public double Errors { get; private set; }

        public double[] Times { get; } = new double[TimeBuckets.Count];

        public void Sample(double elapsed)
        {
            var now = source.Read();
            var kept = Math.Pow(KeptPerSecond, elapsed);
            Requests = Requests * kept + (now.Requests - _before.Requests);
            Errors = Errors * kept + (now.Errors - _before.Errors);
            for (var i = 0; i < now.Times.Length; i++)
            {
                Times[i] = Times[i] * kept + (now.Times[i] - _before.Times[i]);
            }
            Rates = new Rates(
                (now.Requests - _before.Requests) / elapsed, Share(Errors, Requests), Milliseconds(Times, 50), Milliseconds(Times, 99),
                (now.BytesIn - _before.BytesIn) / elapsed, (now.BytesOut - _before.BytesOut) / elapsed);
            _before = now;
            if (history is not null)
            {
                Remember(history, Rates);
            }
        }
    }
}
