using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tests.Pools.Statistics;

internal sealed class TimeBucketsTests
{
    [Test]
    public void IndexOf_EveryUpperBound_IsInItsBucketAndATickMoreInTheNext()
    {
        for (var i = 0; i < TimeBuckets.Count - 1; i++)
        {
            var bound = TimeBuckets.UpperBound(i);
            TimeBuckets.IndexOf(bound).Should().Be(i);
            TimeBuckets.IndexOf(bound + TimeSpan.FromTicks(1)).Should().Be(i + 1);
            TimeBuckets.UpperBound(i + 1).Should().BeGreaterThan(bound);
        }
    }

    [TestCase(-1, 0)]
    [TestCase(0, 0)]
    [TestCase(1_000_000, TimeBuckets.Count - 1)]
    public void IndexOf_TheExtremes_AreInTheFirstAndTheLast(double seconds, int index) =>
        TimeBuckets.IndexOf(TimeSpan.FromSeconds(seconds)).Should().Be(index);

    [Test]
    public void UpperBound_OfTheLast_IsAHundredSeconds() =>
        TimeBuckets.UpperBound(TimeBuckets.Count - 1).Should().Be(TimeSpan.FromSeconds(100));

    [Test]
    public void Percentile_OfNothing_IsNull() => TimeBuckets.Percentile(new long[TimeBuckets.Count], 99).Should().BeNull();
}
