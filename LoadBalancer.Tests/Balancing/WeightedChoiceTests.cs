using FsCheck;
using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class WeightedChoiceTests
{
    [Property(Replay = "20261121,7", MaxTest = 300)]
    public void Any_EveryNumberOnce_DrawsEachAsOftenAsItWeighs(NonEmptyArray<byte> numbers)
    {
        var weights = Weights(numbers);
        var choice = new WeightedChoice(Over(weights), new Counting());

        Times(weights.Sum(), weights.Length, choice.Any).Should().Equal(weights);
    }

    [Property(Replay = "20261121,7", MaxTest = 300)]
    public void Draw_EveryNumberOnce_DrawsAllButTheExceptedAsOftenAsTheyWeigh(NonEmptyArray<byte> numbers, NonNegativeInt number)
    {
        var weights = Weights(numbers);
        var except = number.Get % weights.Length;
        var choice = new WeightedChoice(Over(weights), new Counting());

        Times(weights.Sum() - weights[except], weights.Length, () => choice.Draw(new SelectionContext(), except))
            .Should().Equal(weights.Select((weight, i) => i == except ? 0 : weight));
    }

    [Test]
    public void Draw_OnlyOne_HasNoOther()
    {
        var choice = new WeightedChoice(Over([3]), new Counting());

        choice.Draw(new SelectionContext()).Should().Be(0);
        choice.Draw(new SelectionContext(), except: 0).Should().Be(-1);
    }

    [Test]
    public void Draw_MostAreTried_SharesByWeightAmongTheRest()
    {
        var candidates = Over([.. Enumerable.Repeat(1000, 50), 1, 2, 3]);
        var choice = new WeightedChoice(candidates, new Random(1));
        var context = new SelectionContext(candidates.Backends[..50]);

        var times = Times(6000, 53, () => choice.Draw(context));

        times[..50].Should().OnlyContain(count => count == 0);
        times[50..].Zip([1000, 2000, 3000], (count, expected) => Math.Abs(count - expected)).Should()
            .OnlyContain(difference => difference < 150);
    }

    private static int[] Weights(NonEmptyArray<byte> numbers) => [.. numbers.Get.Select(number => number + 1)];

    private static Candidates Over(int[] weights)
    {
        var pool = PoolOf([.. weights.Select((_, i) => Unprobed($"b{i}"))]);
        return new Candidates(pool.Snapshot.Members, [.. weights], new InFlightCounts());
    }

    private static int[] Times(int draws, int count, Func<int> draw)
    {
        var times = new int[count];
        for (var i = 0; i < draws; i++)
        {
            times[draw()]++;
        }
        return times;
    }

    /// <summary>Goes through all numbers in order.</summary>
    private sealed class Counting : Random
    {
        private long _next;

        public override long NextInt64(long maxValue) => _next++ % maxValue;
    }
}
