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
    private long _sampledAt = time.GetTimestamp();

    /// <summary>Of all pools together.</summary>
    public Rates Total { get; private set; } = Rates.None;

    /// <summary>Of a backend.</summary>
    public Rates Of(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.Rates : Rates.None;

    /// <summary>Of a pool.</summary>
    public Rates Of(BackendPool pool) => HistoryOf(pool).LastOrDefault(Rates.None);

    /// <summary>Of a backend, second by second, the oldest first.</summary>
    public IReadOnlyCollection<Rates> HistoryOf(Backend backend) => _backends.TryGetValue(backend, out var track) ? track.History : [];

    /// <summary>Of a pool, the same way.</summary>
    public IReadOnlyCollection<Rates> HistoryOf(BackendPool pool) => _pools.TryGetValue(pool, out var history) ? history : [];

    /// <summary>Reads all counters; to be called once a second.</summary>
    public void Sample(IReadOnlyList<BackendPool> pools)
    {
        var now = time.GetTimestamp();
        var elapsed = Math.Max(time.GetElapsedTime(_sampledAt, now).TotalSeconds, 0.001);
        _sampledAt = now;
        var snapshots = pools.Select(pool => (Pool: pool, pool.Snapshot.Members)).ToList(); // read once, because members come and go
        var members = snapshots.SelectMany(snapshot => snapshot.Members).ToHashSet();
        foreach (var gone in _backends.Keys.Where(backend => !members.Contains(backend)).ToList())
        {
            _backends.Remove(gone);
        }
        foreach (var backend in members)
        {
            if (!_backends.TryGetValue(backend, out var track))
            {
                _backends[backend] = track = new Track(backend);
            }
            track.Sample(elapsed);
        }
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

    private sealed class Track(Backend backend)
    {
        private long _requestsBefore = backend.Requests;
        private long _errorsBefore = ErrorsOf(backend);
        private long[] _timesBefore = backend.Answers.ResponseTimes();
        private long _inBefore = backend.Connections.BytesIn;
        private long _outBefore = backend.Connections.BytesOut;

        public Queue<Rates> History { get; } = new();

        public Rates Rates { get; private set; } = Rates.None;

        // These three are weighted exponentially.
        public double Requests { get; private set; }

        public double Errors { get; private set; }

        public double[] Times { get; } = new double[TimeBuckets.Count];

        public void Sample(double elapsed)
        {
            var (requests, errors, times) = (backend.Requests, ErrorsOf(backend), backend.Answers.ResponseTimes());
            var kept = Math.Pow(KeptPerSecond, elapsed);
            Requests = Requests * kept + (requests - _requestsBefore);
            Errors = Errors * kept + (errors - _errorsBefore);
            for (var i = 0; i < times.Length; i++)
            {
                Times[i] = Times[i] * kept + (times[i] - _timesBefore[i]);
            }
            var (bytesIn, bytesOut) = (backend.Connections.BytesIn, backend.Connections.BytesOut);
            Rates = new Rates(
                (requests - _requestsBefore) / elapsed, Share(Errors, Requests), Milliseconds(Times, 50), Milliseconds(Times, 99),
                (bytesIn - _inBefore) / elapsed, (bytesOut - _outBefore) / elapsed);
            (_requestsBefore, _errorsBefore, _timesBefore, _inBefore, _outBefore) = (requests, errors, times, bytesIn, bytesOut);
            Remember(History, Rates);
        }

        private static long ErrorsOf(Backend backend) =>
            backend.Failures + backend.Answers.Codes().Where(code => code.Code >= 500).Sum(code => code.Count);
    }
}
