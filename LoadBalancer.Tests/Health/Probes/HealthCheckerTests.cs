using System.Threading.Channels;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Health.Probes;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HealthCheckerTests : IDisposable
{
    private static readonly HealthCheckOptions Options = new();
    private static readonly TimeSpan FirstTurn = TimeSpan.FromMilliseconds(250);

    private readonly FakeClock _clock = new();
    private readonly ScriptedProbe _probe = new();
    private HealthChecker _checker = null!;

    [TearDown]
    public Task StopAsync() => _checker.StopAsync(CancellationToken.None);

    public void Dispose() => _checker.Dispose();

    [Test]
    public async Task Start_Always_ProbesEveryBackendAtOnce()
    {
        var pool = PoolOf(Probed("a"), Probed("b"));

        await StartAsync(pool);

        (await NextProbeAsync()).Should().NotBe(await NextProbeAsync());
        pool.Settled.IsCompleted.Should().BeFalse("no result is there yet");
    }

    [Test]
    public async Task Start_ThousandsOfBackends_BoundsTheFirstProbes()
    {
        await StartAsync(PoolOf([.. Enumerable.Range(0, 600).Select(i => Probed($"b{i}"))]));
        await Eventually.BeTrueAsync(() => _probe.Pending == 256, "so many are under way");

        await AnswerAsync(true);
        await Eventually.BeTrueAsync(
            () => _probe.Pending == 256 && _clock.TimersWithin(FirstTurn) >= 256, "the next one takes its turn, and all are timed");
        _clock.Advance(FirstTurn);

        await Eventually.BeTrueAsync(() => _probe.Pending > 500, "those that do not answer do not hold up the others");
    }

    [Test]
    public async Task Poll_ManyBackends_AreSpreadOverTheInterval()
    {
        var backends = Enumerable.Range(0, 100).Select(i => Probed($"b{i}")).ToArray();
        await StartAsync(PoolOf(backends));
        for (var i = 0; i < backends.Length; i++)
        {
            await AnswerAsync(true);
        }
        await EverybodySleepsAsync(backends.Length);

        foreach (var tenths in Enumerable.Range(1, 9))
        {
            _clock.TimersWithin(Options.Interval * tenths / 10).Should().BeInRange(10 * tenths - 1, 12 * tenths);
        }
    }

    [Test]
    public async Task Poll_ManyBackends_WakeUpTogether()
    {
        var backends = Enumerable.Range(0, 1000).Select(i => Probed($"b{i}")).ToArray();
        await StartAsync(PoolOf(backends));
        for (var i = 0; i < backends.Length; i++)
        {
            await AnswerAsync(true);
        }
        await EverybodySleepsAsync(backends.Length);

        var (before, times) = (0, 0);
        for (var at = TimeSpan.FromSeconds(20); at < TimeSpan.FromSeconds(25); at += TimeSpan.FromMilliseconds(20))
        {
            var until = _clock.TimersWithin(at);
            (before, times) = (until, until > before ? times + 1 : times);
        }

        times.Should().BeLessThanOrEqualTo(52, "that are ten times a second");
    }

    [Test]
    public async Task Poll_Healthy_ProbesEveryInterval()
    {
        var backend = Probed("a");
        await StartAsync(PoolOf(backend));
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);

        _clock.Advance(Options.Interval * 0.89);
        _probe.Pending.Should().Be(0, "jitter shortens the interval by a tenth at most");
        _clock.Advance(Options.Interval * 0.11);

        (await NextProbeAsync()).Should().Be(backend);
    }

    [Test]
    public async Task Poll_Unhealthy_ProbesEveryDownInterval()
    {
        var backend = Probed("a");
        await StartAsync(PoolOf(backend));
        await AnswerAsync(false);
        await SleepsForAsync(Options.DownInterval);
        backend.Health.IsUp.Should().BeFalse();

        _clock.Advance(Options.DownInterval);
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);

        backend.Health.IsUp.Should().BeTrue();
    }

    [Test]
    public async Task Poll_RequestFindsBackendDown_ProbesAtOnce()
    {
        var pool = PoolOf(Probed("a"));
        await StartAsync(pool);
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);
        _clock.Advance(Options.DownInterval);
        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();

        lease!.Complete(AttemptOutcome.ConnectFailed, "connection refused");
        await AnswerAsync(false);

        await SleepsForAsync(Options.DownInterval);
    }

    [Test]
    public async Task Poll_Doubt_ProbesAtOnce()
    {
        var backend = Probed("a");
        await StartAsync(PoolOf(backend));
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);
        _clock.Advance(Options.DownInterval);

        backend.Suspect();
        await AnswerAsync(true);

        await SleepsForAsync(Options.Interval);
    }

    [Test]
    public async Task Poll_DoubtRightAfterAProbe_WaitsForTheDownInterval()
    {
        var backend = Probed("a");
        await StartAsync(PoolOf(backend));
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);

        backend.Suspect();

        await SleepsForAsync(Options.DownInterval);
        _probe.Pending.Should().Be(0, "a backend that closes each connection must not be flooded with probes");
    }

    [Test]
    public async Task Members_ComeAndGo_AreProbedFromThenOnAndNoLonger()
    {
        var (a, b) = (Probed("a"), Probed("b"));
        var pool = PoolOf(a);
        await StartAsync(pool);
        await AnswerAsync(true);

        pool.SetMembers([a, b]);
        (await NextProbeAsync()).Should().Be(b, "at once");
        pool.SetMembers([b]);
        _clock.Advance(Options.Interval);

        _probe.Pending.Should().Be(0, "a has left, and b's probe is under way");
    }

    [Test]
    public async Task Watch_OtherOptions_ProbesAnew()
    {
        var backend = Probed("a");
        var pool = PoolOf(backend);
        await StartAsync(pool);
        await AnswerAsync(true);
        await SleepsForAsync(Options.Interval);

        _checker.Watch([new ProbedPool(pool, Options with { Interval = TimeSpan.FromSeconds(3) }, _probe)]);

        await AnswerAsync(true);
        await SleepsForAsync(TimeSpan.FromSeconds(3));
        _checker.Watch([]);
        _clock.Advance(TimeSpan.FromMinutes(1));
        _probe.Pending.Should().Be(0);
    }

    private async Task StartAsync(BackendPool pool)
    {
        _checker = new HealthChecker(_clock, new Random(1), NullLogger<HealthChecker>.Instance);
        _checker.Watch([new ProbedPool(pool, Options, _probe)]);
        await _checker.StartAsync(CancellationToken.None);
    }

    private async Task<Backend> NextProbeAsync() => (await _probe.Calls.ReadAsync()).Backend;

    private async Task AnswerAsync(bool succeeded) => (await _probe.Calls.ReadAsync()).Result.SetResult(new(succeeded, "scripted"));

    private Task SleepsForAsync(TimeSpan interval) =>
        Eventually.BeTrueAsync(
            () => _clock.UntilNextTimer is { } left && left > interval * 0.89 && left <= interval, $"the checker sleeps for {interval}");

    private Task EverybodySleepsAsync(int count) => Eventually.BeTrueAsync(
        () => _clock.TimersWithin(Options.Interval) == count && _clock.TimersWithin(FirstTurn) <= count / 100, "everybody sleeps");

    private sealed class ScriptedProbe : IProbe
    {
        private readonly Channel<(Backend Backend, TaskCompletionSource<ProbeResult> Result)> _calls =
            Channel.CreateUnbounded<(Backend, TaskCompletionSource<ProbeResult>)>();

        public ChannelReader<(Backend Backend, TaskCompletionSource<ProbeResult> Result)> Calls => _calls.Reader;

        public int Pending => _calls.Reader.Count;

        public async Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken)
        {
            var result = new TaskCompletionSource<ProbeResult>(TaskCreationOptions.RunContinuationsAsynchronously);
            _calls.Writer.TryWrite((backend, result));
            return await result.Task.WaitAsync(cancellationToken);
        }
    }
}
