using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>
/// How long a pool's responses took, over five minutes, an hour and a day: for each step of time how many fell into each of some bands,
/// and the percentiles. It takes about 70 KB for a pool, whatever the pool does. Not safe for several threads at once.
/// </summary>
internal sealed class LatencyHistory
{
    private readonly Ring[] _rings = [.. Spans.Select(span => new Ring(span))];

    /// <summary>What can be asked for.</summary>
    public static IReadOnlyList<LatencySpan> Spans { get; } =
        [new("5m", TimeSpan.FromSeconds(5), 60), new("1h", TimeSpan.FromSeconds(30), 120), new("24h", TimeSpan.FromMinutes(10), 144)];

    /// <summary>
    /// The upper bounds of the bands in milliseconds, from 100 µs to 100 s: six for each power of ten. They are bounds of
    /// <see cref="TimeBuckets"/>, so no response is counted in two bands.
    /// </summary>
    public static IReadOnlyList<double> Bounds { get; } =
        [0.1, .. from power in Enumerable.Range(-1, 6) from step in (double[])[1.5, 2, 3, 5, 7, 10] select step * Math.Pow(10, power)];

    // The band of each bucket.
    private static readonly int[] Bands =
    [
        .. Enumerable.Range(0, TimeBuckets.Count).Select(i =>
            Bounds.TakeWhile(bound => bound < TimeBuckets.UpperBound(i).TotalMilliseconds - 1e-9).Count()),
    ];

    /// <summary>Adds what was counted since the last time.</summary>
    /// <param name="now">The time.</param>
    /// <param name="times">How many response times fell into each of the <see cref="TimeBuckets"/>.</param>
    /// <param name="errors">How many requests failed.</param>
    public void Add(DateTimeOffset now, ReadOnlySpan<long> times, long errors)
    {
        foreach (var ring in _rings)
        {
            ring.Add(now, times, errors);
        }
    }

    /// <summary>The columns of a span, the oldest first; the last one is still being filled.</summary>
    public IReadOnlyList<LatencyColumn> Read(LatencySpan span) => _rings.First(ring => ring.Span == span).Read();

    private sealed class Ring(LatencySpan span)
    {
        private readonly uint[] _bands = new uint[span.Columns * Bounds.Count];
        private readonly Column[] _columns = new Column[span.Columns];
        private readonly long[] _open = new long[TimeBuckets.Count]; // of the newest column
        private long _newest = -1; // its number, counted from 1970; -1: nothing yet
        private long _oldest;

        public LatencySpan Span => span;

        public void Add(DateTimeOffset now, ReadOnlySpan<long> times, long errors)
        {
            var number = now.UtcTicks / span.Step.Ticks;
            if (_newest < 0)
            {
                (_newest, _oldest) = (number, number);
            }
            else if (number > _newest)
            {
                _columns[_newest % span.Columns].Close(_open);
                Array.Clear(_open);
                for (var next = Math.Max(_newest + 1, number - span.Columns + 1); next <= number; next++)
                {
                    _columns[next % span.Columns] = default;
                    BandsOf(next).Clear();
                }
                _newest = number;
            }
            var bands = BandsOf(_newest); // also for a clock that was set back
            for (var i = 0; i < times.Length; i++)
            {
                if (times[i] > 0)
                {
                    _open[i] += times[i];
                    bands[Bands[i]] += (uint)times[i];
                }
            }
            _columns[_newest % span.Columns].Errors += (uint)errors;
        }

        public List<LatencyColumn> Read()
        {
            var columns = new List<LatencyColumn>();
            for (var number = Math.Max(_oldest, _newest - span.Columns + 1); number <= _newest; number++)
            {
                var column = _columns[number % span.Columns];
                if (number == _newest)
                {
                    column.Close(_open);
                }
                var start = new DateTimeOffset(number * span.Step.Ticks, TimeSpan.Zero);
                columns.Add(new LatencyColumn(
                    start, [.. BandsOf(number)], Known(column.P50), Known(column.P90), Known(column.P99), column.Errors));
            }
            return columns;
        }

        private Span<uint> BandsOf(long number) =>
            _bands.AsSpan((int)(number % span.Columns) * Bounds.Count, Bounds.Count);

        private static double? Known(float milliseconds) => milliseconds > 0 ? Math.Round(milliseconds, 3) : null;
    }

    private struct Column
    {
        public uint Errors;
        public float P50; // in milliseconds; 0 where there was no response
        public float P90;
        public float P99;

        public void Close(long[] times) => (P50, P90, P99) = (Percentile(times, 50), Percentile(times, 90), Percentile(times, 99));

        private static float Percentile(long[] times, double percentile) =>
            (float)(TimeBuckets.Percentile(times, percentile)?.TotalMilliseconds ?? 0);
    }
}

/// <summary>A span of time that is remembered.</summary>
/// <param name="Name">Its name, such as <c>5m</c>.</param>
/// <param name="Step">How long a column is.</param>
/// <param name="Columns">How many there are.</param>
internal sealed record LatencySpan(string Name, TimeSpan Step, int Columns);

/// <summary>The responses of a pool in one step of time.</summary>
/// <param name="Start">When it began.</param>
/// <param name="Counts">How many fell into each band, see <see cref="LatencyHistory.Bounds"/>.</param>
/// <param name="P50Ms">Their median, in milliseconds; null where there was none.</param>
/// <param name="P90Ms">The 90th percentile of the same.</param>
/// <param name="P99Ms">The 99th percentile of the same.</param>
/// <param name="Errors">How many requests failed.</param>
internal sealed record LatencyColumn(
    DateTimeOffset Start, IReadOnlyList<uint> Counts, double? P50Ms, double? P90Ms, double? P99Ms, long Errors);
