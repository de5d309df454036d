using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

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
    private readonly Dictionary<BackendPool, PoolTrack> _pools = [];
    private readonly Dictionary<RouteStatistics, Track> _routes = [];
    private readonly long[] _times = new long[TimeBuckets.Count]; // of the pool that is being read
    private long _sampledAt = time.GetTimestamp();
    private bool _hasSampled;

    /// <summary>Of all pools together.</summary>
    public Rates Total { get; private set; } = Rates.None;

    /// <summary>Of a backend.</summary>
    public Rates Of(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.Rates : Rates.None;

    /// <summary>Of a pool.</summary>
    public Rates Of(BackendPool pool) => _pools.TryGetValue(pool, out var track) ? track.Rates : Rates.None;

    /// <summary>Of a route.</summary>
    public Rates Of(RouteStatistics route) => _routes.TryGetValue(route, out var track) ? track.Rates : Rates.None;

    /// <summary>Of the requests of a route in the last hour, those that were answered with 5xx.</summary>
    public long ErrorsOf(RouteStatistics route) => _routes.TryGetValue(route, out var track) ? track.ErrorsOfLastHour : 0;

    /// <summary>Of a backend, second by second, the oldest first.</summary>
    public IReadOnlyCollection<PastRates> HistoryOf(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.History : [];

    /// <summary>Of a pool, the same way.</summary>
    public IReadOnlyCollection<PastRates> HistoryOf(BackendPool pool) => _pools.TryGetValue(pool, out var track) ? track.History : [];

    /// <summary>The response times of a pool; null where there are none, because it relays connections.</summary>
    public LatencyHistory? LatencyOf(BackendPool pool) => _pools.TryGetValue(pool, out var track) ? track.Latency : null;

    /// <summary>Reads all counters; to be called once a second.</summary>
    public void Sample(IReadOnlyList<BackendPool> pools, IReadOnlyList<RouteStatistics> routes)
    {
        var now = time.GetTimestamp();
        var elapsed = Math.Max(time.GetElapsedTime(_sampledAt, now).TotalSeconds, 0.001);
        _sampledAt = now;
        var snapshots = pools.Select(pool => (Pool: pool, pool.Snapshot.Members)).ToList(); // read once, because members come and go
        var members = snapshots.SelectMany(snapshot => snapshot.Members).ToHashSet();
        RemoveOthers(_backends, members);
        RemoveOthers(_pools, pools.ToHashSet());
        foreach (var (pool, itsMembers) in snapshots)
        {
            var errors = 0L;
            Array.Clear(_times);
            foreach (var backend in itsMembers)
            {
                errors += TrackOf(_backends, backend, () => new Track(new BackendCounts(backend), time, new())).Sample(elapsed, _times);
            }
            var track = TrackOf(_pools, pool, () => new PoolTrack(pool.IsRelayed ? null : new LatencyHistory()));
            track.Add(Sum(itsMembers));
            track.Latency?.Add(time.GetUtcNow(), _times, errors);
        }
        var used = routes.Where(route => !route.Answers.IsEmpty).ToHashSet();
        RemoveOthers(_routes, used);
        foreach (var route in used)
        {
            // It had counted nothing before, or it would have been there.
            TrackOf(_routes, route, () => new Track(new RouteCounts(route), time, null, isNew: _hasSampled)).Sample(elapsed, _times);
        }
        Total = Sum(members);
        _hasSampled = true;
    }

    private static void RemoveOthers<T, TTrack>(Dictionary<T, TTrack> tracks, HashSet<T> present)
        where T : notnull
    {
        foreach (var gone in tracks.Keys.Where(source => !present.Contains(source)).ToList())
        {
            tracks.Remove(gone);
        }
    }

    private static TTrack TrackOf<T, TTrack>(Dictionary<T, TTrack> tracks, T source, Func<TTrack> create)
        where T : notnull
    {
        if (!tracks.TryGetValue(source, out var track))
        {
            tracks[source] = track = create();
        }
        return track;
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

    private static void Remember(Queue<PastRates> history, Rates rates)
    {
        history.Enqueue(new PastRates(rates));
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

    private sealed class PoolTrack(LatencyHistory? latency)
    {
        private readonly Queue<PastRates> _history = new();

        public Rates Rates { get; private set; } = Rates.None;

        public IReadOnlyCollection<PastRates> History => _history;

        public LatencyHistory? Latency => latency;

        public void Add(Rates rates) => Remember(_history, Rates = rates);
    }

    private sealed class Track(ICounts source, TimeProvider time, Queue<PastRates>? history, bool isNew = false)
    {
        private readonly MinuteCounts _errors = new();
        private Counted _before = isNew ? new Counted(0, 0, new long[TimeBuckets.Count], 0, 0) : source.Read();

        public IReadOnlyCollection<PastRates> History => history ?? [];

        public long ErrorsOfLastHour => _errors.Sum(time.GetUtcNow(), MinuteCounts.Minutes);

        public Rates Rates { get; private set; } = Rates.None;

        // These three are weighted exponentially.
        public double Requests { get; private set; }

        public double Errors { get; private set; }

        public double[] Times { get; } = new double[TimeBuckets.Count];

        /// <returns>How many requests have failed since the last time; how long the others took is added to the times.</returns>
        public long Sample(double elapsed, long[] times)
        {
            var now = source.Read();
            var kept = Math.Pow(KeptPerSecond, elapsed);
            var errors = now.Errors - _before.Errors;
            _errors.Add(time.GetUtcNow(), errors);
            Requests = Requests * kept + (now.Requests - _before.Requests);
            Errors = Errors * kept + errors;
            for (var i = 0; i < now.Times.Length; i++)
            {
                var count = now.Times[i] - _before.Times[i];
                times[i] += count;
                Times[i] = Times[i] * kept + count;
            }
            Rates = new Rates(
                (now.Requests - _before.Requests) / elapsed, Share(Errors, Requests), Milliseconds(Times, 50), Milliseconds(Times, 99),
                (now.BytesIn - _before.BytesIn) / elapsed, (now.BytesOut - _before.BytesOut) / elapsed);
            _before = now;
            if (history is not null)
            {
                Remember(history, Rates);
            }
            return errors;
        }
    }
}
