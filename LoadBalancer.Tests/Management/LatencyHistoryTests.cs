using LoadBalancer.Management;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tests.Management;

[Parallelizable(ParallelScope.All)]
internal sealed class LatencyHistoryTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 30, 3, 0, 0, TimeSpan.Zero);

    private static LatencySpan FiveMinutes => LatencyHistory.Spans[0];

    [Test]
    public void Bounds_Always_AreBoundsOfBuckets()
    {
        var bounds = Enumerable.Range(0, TimeBuckets.Count)
            .Select(i => Math.Round(TimeBuckets.UpperBound(i).TotalMilliseconds, 6)).ToHashSet();

        LatencyHistory.Bounds.Should().HaveCount(37).And.BeInAscendingOrder();
        LatencyHistory.Bounds.Select(bound => Math.Round(bound, 6)).Should().OnlyContain(bound => bounds.Contains(bound));
        LatencyHistory.Bounds[^1].Should().BeApproximately(100_000, 0.001, "the last band takes what took longest");
    }

    [Test]
    public void Read_AfterAStep_HasItsCountsAndPercentiles()
    {
        var history = new LatencyHistory();
        history.Add(Start, Times((2, 90), (40, 9), (700, 1)), errors: 3);
        history.Add(Start.AddSeconds(4), Times((2, 100)), errors: 0);
        history.Add(Start.AddSeconds(5), Times(), errors: 0);

        foreach (var span in LatencyHistory.Spans)
        {
            var first = history.Read(span)[0];
            first.Start.Should().Be(Start);
            first.Counts.Sum(count => count).Should().Be(200);
            (first.P50Ms, first.P99Ms, first.Errors).Should().Be((2, 40, 3));
        }
        var columns = history.Read(FiveMinutes);
        columns.Should().HaveCount(2);
        columns[0].P90Ms.Should().Be(2);
        columns[0].Counts[LatencyHistory.Bounds.ToList().FindIndex(bound => bound > 39.9)].Should().Be(9, "40 ms is at most 50");
        columns[1].P50Ms.Should().BeNull();
    }

    [Test]
    public void Read_AfterALongTime_HasNothingOlderThanTheSpan()
    {
        var history = new LatencyHistory();
        history.Add(Start, Times((2, 1)), errors: 0);
        history.Add(Start.AddMinutes(7), Times((3, 1)), errors: 0);
        history.Add(Start.AddMinutes(6), Times((4, 1)), errors: 0); // The clock was set back.

        var columns = history.Read(FiveMinutes);

        columns.Should().HaveCount(60);
        columns[0].Start.Should().Be(Start.AddMinutes(7).AddSeconds(-59 * 5));
        columns.Sum(column => column.Counts.Sum(count => count)).Should().Be(2);
        columns[^1].P99Ms.Should().Be(4);
    }

    private static long[] Times(params (int Milliseconds, int Count)[] times)
    {
        var buckets = new long[TimeBuckets.Count];
        foreach (var (milliseconds, count) in times)
        {
            buckets[TimeBuckets.IndexOf(TimeSpan.FromMilliseconds(milliseconds))] = count;
        }
        return buckets;
    }
}
