using LoadBalancer.Health;
using LoadBalancer.Pools;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Health;

/// <summary>Who is an outlier, and how many of them go.</summary>
internal sealed class OutlierDetectorTests
{
    private static readonly OutlierRules Rules = new(1.9, 5, 100, TimeSpan.FromSeconds(10), 0.1, false);

    private readonly FakeTimeProvider _clock = new();
    private OutlierDetector _detector = null!;
    private BackendPool _pool = null!;
    private Backend[] _backends = [];

    [TearDown]
    public void TearDown() => _detector.Dispose();

    [Test]
    public void EndInterval_OneSucceedsTooRarely_IsEjectedWithTheNumbers()
    {
        Watch(8);
        Attempts(200, failures: 2);
        Attempts(_backends[3], 240 - 200, failures: 40 - 2);

        Pass();

        Down().Should().Equal(_backends[3]);
        _backends[3].Health.Reason.Should().Be(
            "outlier: 83.3 % of 240 requests succeeded in 10 s; the mean of 8 backends is 97.0 %, the limit 87.2 %");
        _backends[3].Health.IsOutAsOutlier.Should().BeTrue();
        _backends[3].OutlierCounts!.EjectedForFailures.Should().Be(1);
        _pool.Outliers!.Hosts.Should().Be(8);
        _backends[0].Outlier.Should().Be(new OutlierNumbers(200, 0.99, null));
    }

    [Test]
    public void EndInterval_AllFailAlike_EjectsNobody()
    {
        Watch(8);
        Attempts(300, failures: 100);

        Pass();

        Down().Should().BeEmpty();
    }

    [Test]
    public void EndInterval_FewerThanMinHostsHadEnough_EjectsNobody()
    {
        Watch(6);
        foreach (var backend in _backends)
        {
            Attempts(backend, backend == _backends[1] || backend == _backends[2] ? 99 : 100, failures: backend == _backends[0] ? 100 : 0);
        }

        Pass();

        Down().Should().BeEmpty("only four had a hundred");
        _pool.Outliers.Should().Be(new PoolOutliers(4, null, null, null, null));
    }

    [Test]
    public void EndInterval_BelowMinRequests_IsNotInTheMean()
    {
        Watch(7);
        foreach (var backend in _backends)
        {
            var (count, failures) = backend == _backends[0] ? (99, 99) : (100, backend == _backends[1] ? 10 : 0);
            Attempts(backend, count, failures);
        }

        Pass();

        Down().Should().Equal(new[] { _backends[1] }, "of the other, which had too few, nothing is known");
        _pool.Outliers!.MeanShare.Should().BeApproximately(1 - 0.1 / 6, 1e-9);
    }

    [Test]
    public void EndInterval_SeveralOutliers_ThoseThatMayGoAreTheWorst()
    {
        Watch(40, Rules with { MaxShare = 0.05 });
        Attempts(100, failures: 0);
        foreach (var (index, failures) in new[] { (1, 30), (2, 60), (3, 50), (4, 40) })
        {
            Attempts(_backends[index], 100, failures);
        }

        Pass();

        Down().Should().Equal(_backends[2], _backends[3]);
        Attempts(100, failures: 0);
        Attempts(_backends[4], 100, 90);
        Pass(seconds: 9.5);
        Down().Should().HaveCount(2, "as many as may be out are out");
    }

    [Test]
    public void EndInterval_MaxShareIsLessThanOneBackend_OneMayGo()
    {
        Watch(5);
        Attempts(100, failures: 0);
        Attempts(_backends[2], 100, failures: 100);

        Pass();

        Down().Should().Equal(_backends[2]);
    }

    [Test]
    public void EndInterval_HalfIsOutAlready_EjectsNobody()
    {
        Watch(4, Rules with { MinHosts = 2, StandardDeviations = 0.5 });
        foreach (var backend in _backends[..2])
        {
            backend.Health.Eject();
        }
        _pool.Change(() => { });
        Attempts(_backends[2], 100, failures: 50);
        Attempts(_backends[3], 100, failures: 0);

        Pass(seconds: 9.9, then: 0.1);

        _backends[2].Outlier!.SuccessShare.Should().Be(0.5);
        _backends[2].Health.IsUp.Should().BeTrue("failures take out half of a pool at most");
    }

    [Test]
    public void EndInterval_SlowInTwoIntervals_IsEjectedWithTheNumbers()
    {
        Watch(6);
        Answers(90);
        Answers(_backends[4], 450, 200);

        Pass();
        Down().Should().BeEmpty("a moment is not enough");
        _pool.Outliers!.LongestMedian.Should().Be(TimeSpan.FromMilliseconds(270));
        Answers(90);
        Answers(_backends[4], 450, 200);
        Pass();

        Down().Should().Equal(_backends[4]);
        _backends[4].Health.Reason.Should().Be("outlier: median 450 ms in two intervals of 10 s; the pool's is 90 ms, the limit 270 ms");
        _backends[4].OutlierCounts!.EjectedForTime.Should().Be(1);
    }

    [TestCase(10, 100)] // less than 100 ms above
    [TestCase(200, 590)] // less than three times
    public void EndInterval_NotMuchSlower_EjectsNobody(int others, int its)
    {
        Watch(6);
        for (var i = 0; i < 3; i++)
        {
            Answers(others);
            Answers(_backends[4], its, 200);
            Pass();
        }

        Down().Should().BeEmpty();
    }

    [Test]
    public void EndInterval_SlowWithAnotherIntervalBetween_EjectsNobody()
    {
        Watch(6);
        foreach (var isSlow in new[] { true, false, true, false })
        {
            Answers(20);
            Answers(_backends[4], isSlow ? 500 : 20, 200);
            Pass();
        }

        Down().Should().BeEmpty();
    }

    [Test]
    public void EndInterval_Joined_IsComparedToo()
    {
        Watch(5);
        var joined = Unprobed("new", time: _clock);
        _pool.ChangeMembers(members => members.Add(joined));
        Attempts(100, failures: 0);
        Attempts(joined, 100, failures: 50);

        Pass();

        joined.Health.IsUp.Should().BeFalse();
    }

    [Test]
    public void Complete_Outcomes_AreCountedAsPassiveHealthDoes()
    {
        Watch(1, Rules with { CountServerErrors = true });
        foreach (var (outcome, status) in new[]
        {
            (AttemptOutcome.Succeeded, 200), (AttemptOutcome.Succeeded, 503), (AttemptOutcome.Failed, 502),
            (AttemptOutcome.Abandoned, 500), (AttemptOutcome.Succeeded, 404),
        })
        {
            _pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            _clock.Advance(TimeSpan.FromMilliseconds(20));
            lease!.ObserveResponse();
            lease.Complete(outcome, "broken");
            lease.CountAnswer(status, TimeSpan.Zero, TimeSpan.Zero);
        }

        Pass();

        _backends[0].Outlier.Should().Be(new OutlierNumbers(4, 0.5, TimeSpan.FromMilliseconds(20)));
    }

    [Test]
    public void Complete_ServerErrorsDoNotCount_IsSuccess()
    {
        Watch(1);
        _pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        lease!.Complete(AttemptOutcome.Succeeded);
        lease.CountAnswer(500, TimeSpan.Zero, TimeSpan.Zero);

        Pass();

        _backends[0].Outlier!.SuccessShare.Should().Be(1);
    }

    [Test]
    public void Apply_Null_CountsNothing()
    {
        Watch(5);
        _detector.Apply(null);
        Attempts(100, failures: 0);
        Pass();

        _backends.Should().OnlyContain(backend => backend.OutlierCounts == null && backend.Outlier == null);
        _pool.Outliers.Should().BeNull();
    }

    private void Watch(int count, OutlierRules? rules = null)
    {
        _backends = [.. Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", time: _clock))];
        _pool = PoolOf(_backends);
        _detector = new OutlierDetector(_pool, _clock, NullLogger.Instance);
        _detector.Apply(rules ?? Rules);
    }

    private IEnumerable<Backend> Down() => _pool.Snapshot.Members.Where(backend => !backend.Health.IsUp);

    private void Pass(double seconds = 10, double then = 0)
    {
        _clock.Advance(TimeSpan.FromSeconds(seconds));
        _clock.Advance(TimeSpan.FromSeconds(then));
    }

    private void Attempts(int count, int failures)
    {
        foreach (var backend in _backends)
        {
            Attempts(backend, count, failures);
        }
    }

    private static void Attempts(Backend backend, int count, int failures)
    {
        for (var i = 0; i < count; i++)
        {
            backend.OutlierCounts?.CountAttempt(succeeded: i >= failures);
        }
    }

    // All but the fifth answer in this time.
    private void Answers(int milliseconds)
    {
        foreach (var backend in _backends)
        {
            Answers(backend, milliseconds, backend == _backends[4] ? 0 : 100);
        }
    }

    private static void Answers(Backend backend, int milliseconds, int count)
    {
        for (var i = 0; i < count; i++)
        {
            backend.OutlierCounts!.ObserveTime(TimeSpan.FromMilliseconds(milliseconds));
        }
    }
}
