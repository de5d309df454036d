using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Broker;

internal sealed class MainAlternativeTests
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PeerTimeout = TimeSpan.FromSeconds(5);

    [TestCase(BrokerState.Asking, BrokerState.Watching, BrokerState.Serving, BrokerState.Serving, BrokerState.Asking)]
    [TestCase(BrokerState.Waiting, BrokerState.Watching, BrokerState.Waiting, BrokerState.Waiting, BrokerState.Waiting)]
    [TestCase(BrokerState.Watching, BrokerState.Watching, BrokerState.Asking, BrokerState.Watching, BrokerState.Watching)]
    [TestCase(BrokerState.Serving, BrokerState.Serving, BrokerState.Serving, BrokerState.Serving, BrokerState.Asking)]
    public void Next_EveryEvent_IsAsTheTableSays(
        BrokerState state, BrokerState heard, BrokerState silent, BrokerState nobodyThere, BrokerState slept) =>
        new[] { BrokerEvent.Heard, BrokerEvent.Silent, BrokerEvent.Unreachable, BrokerEvent.Slept }.Select(
            what => MainAlternative.Next(state, what))
            .Should().Equal(heard, silent, nobodyThere, slept);

    [TestCase(BrokerState.Asking, BrokerState.Asking, BrokerState.Asking)]
    [TestCase(BrokerState.Waiting, BrokerState.Serving, BrokerState.Waiting)]
    [TestCase(BrokerState.Watching, BrokerState.Watching, BrokerState.Watching)]
    [TestCase(BrokerState.Serving, BrokerState.Serving, BrokerState.Waiting)]
    public void Next_LeaseComesOrGoes_IsAsTheTableSays(BrokerState state, BrokerState won, BrokerState lost) =>
        new[] { BrokerEvent.Won, BrokerEvent.Lost }.Select(what => MainAlternative.Next(state, what)).Should().Equal(won, lost);

    [Test]
    public void Begin_InACluster_Waits([Values] BrokerRole role, [Values] bool knowsAnother) =>
        MainAlternative.Begin(role, knowsAnother, isInCluster: true).Should().Be(BrokerState.Waiting);

    [TestCase(BrokerRole.Main, false, BrokerState.Serving)]
    [TestCase(BrokerRole.Main, true, BrokerState.Asking)]
    [TestCase(BrokerRole.Alternative, true, BrokerState.Waiting)]
    public void Begin_EachRole_IsAsConfigured(BrokerRole role, bool knowsAnother, BrokerState expected) =>
        MainAlternative.Begin(role, knowsAnother).Should().Be(expected);

    [TestCase(BrokerState.Asking, BrokerRole.Main, 2.5)]
    [TestCase(BrokerState.Asking, BrokerRole.Alternative, 3)]
    [TestCase(BrokerState.Waiting, BrokerRole.Alternative, null)]
    [TestCase(BrokerState.Watching, BrokerRole.Main, 5)]
    [TestCase(BrokerState.Serving, BrokerRole.Main, null)]
    public void Patience_EachState_IsLongEnoughToBeSure(BrokerState state, BrokerRole role, double? seconds) =>
        MainAlternative.SilenceTimeout(state, role, Interval, PeerTimeout)?.TotalSeconds.Should().Be(seconds);

    // Whatever is lost, late or restarted: as long as who serves is heard by who asks, only one of them serves.
    [Property(MaxTest = 200)]
    public void Next_TwoBrokersThatReachEachOther_NeverBothServe(int seed)
    {
        var random = new Random(seed);
        Simulated?[] pair = [new(BrokerRole.Main, 0), new(BrokerRole.Alternative, 0)];
        for (var now = 0; now < 2000; now++) // tenths of a second
        {
            for (var i = 0; i < 2; i++)
            {
                if (random.Next(200) == 0)
                {
                    // killed, or started again
                    pair[i] = pair[i] is null ? new Simulated(i == 0 ? BrokerRole.Main : BrokerRole.Alternative, now) : null;
                }
                pair[i]?.Step(pair[1 - i], now);
            }

            pair.Count(broker => broker?.State == BrokerState.Serving).Should().BeLessThan(2, $"of seed {seed}, at {now / 10.0} s");
        }
    }

    /// <summary>A broker that looks at the other one every tenth of a second.</summary>
    private sealed class Simulated(BrokerRole role, int now)
    {
        private int _since = now;
        private int _publishedAt = -1;
        private int _heardUntil = -1;

        public BrokerState State { get; private set; } = MainAlternative.Begin(role, knowsAnother: true);

        private bool Listens => State is BrokerState.Asking or BrokerState.Serving;

        public void Step(Simulated? other, int now)
        {
            if (State == BrokerState.Serving && now - _publishedAt >= 10)
            {
                _publishedAt = now;
            }
            if (other?.State == BrokerState.Serving && other._publishedAt > _heardUntil)
            {
                _heardUntil = other._publishedAt;
                Apply(BrokerEvent.Heard, now);
            }
            else if (State == BrokerState.Asking && other?.Listens != true)
            {
                Apply(BrokerEvent.Unreachable, now);
            }
            else if (MainAlternative.SilenceTimeout(State, role, Interval, PeerTimeout) is { } patience
                && now - _since >= patience.TotalSeconds * 10)
            {
                Apply(BrokerEvent.Silent, now);
            }
        }

        private void Apply(BrokerEvent what, int now)
        {
            var next = MainAlternative.Next(State, what);
            _since = next != State || what == BrokerEvent.Heard ? now : _since;
            _publishedAt = next != State && next == BrokerState.Serving ? now : _publishedAt;
            State = next;
        }
    }
}
