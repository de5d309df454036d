using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Simulation;

/// <summary>
/// Real pools and policies of one or more load balancers, on a clock of their own, in front of uneven and disturbed servers: event after
/// event, the same in each run. Requests arrive at random (Poisson), each at any of the load balancers; the work at one takes a random
/// time (exponential). A client waits for ten seconds.
/// </summary>
internal sealed class ScenarioSimulation
{
    public const int Servers = 100;

    private const double TimeoutSeconds = 10;

    private readonly Clock _clock = new();
    private readonly PriorityQueue<Action, (double Time, long Number)> _events = new();
    private readonly Random _arrivals = new(1);
    private readonly Random _service = new(2);
    private readonly Random _trouble = new(4);
    private readonly ScenarioServer[] _servers;
    private readonly ScenarioBalancer[] _balancers;
    private readonly ScenarioResult _result;
    private readonly ScenarioCase _of;
    private readonly double _capacity; // requests per second
    private long _number;
    private int _left;
    private double _lastArrival;

    private ScenarioSimulation(ScenarioCase of, int requests)
    {
        (_of, _left, _result) = (of, requests, new ScenarioResult(requests));
        _servers = [.. Enumerable.Range(0, Servers).Select(i => Server(of.Scenario, i))];
        _capacity = _servers.Sum(server => server.Slots / server.MeanSeconds);
        _balancers = [.. Enumerable.Range(0, of.Balancers).Select(number => new ScenarioBalancer(of, number, _clock))];
    }

    /// <summary>Lets so many requests through.</summary>
    public static ScenarioResult Run(ScenarioCase of, int requests) => new ScenarioSimulation(of, requests).Run();

    private ScenarioResult Run()
    {
        foreach (var server in _servers)
        {
            if (_of.Scenario == Scenario.Antagonist)
            {
                In(Exponential(_trouble, 8), () => Slow(server));
            }
            else if (_of.Scenario == Scenario.Gc)
            {
                In(Exponential(_trouble, 10), () => Pause(server));
            }
        }
        Arrive();
        while (!_result.IsComplete && _events.TryDequeue(out var happens, out var when))
        {
            _clock.Now = when.Time;
            happens();
        }
        _result.Goodput = _result.InTime / (_capacity * _lastArrival);
        return _result;
    }

    private static ScenarioServer Server(Scenario scenario, int i) => scenario switch
    {
        Scenario.Speed2 => new(4, i % 2 == 0 ? 0.1 : 0.2),
        Scenario.Speed4 => new(4, i % 4 == 0 ? 0.4 : 0.1),
        Scenario.Slots => new(i % 2 == 0 ? 6 : 2, 0.1),
        Scenario.OneSlow => new(4, i == 1 ? 1 : 0.1),
        _ => new(4, 0.1),
    };

    private void In(double seconds, Action happens) => _events.Enqueue(happens, (_clock.Now + seconds, _number++));

    private void Slow(ScenarioServer server)
    {
        server.Factor = 3;
        In(Exponential(_trouble, 2), () =>
        {
            server.Factor = 1;
            In(Exponential(_trouble, 8), () => Slow(server));
        });
    }

    private void Pause(ScenarioServer server)
    {
        server.Pause(_clock.Now, 0.3);
        In(0.3 + Exponential(_trouble, 10), () => Pause(server));
    }

    private void Arrive()
    {
        _lastArrival = _clock.Now;
        if (--_left > 0)
        {
            In(Exponential(_arrivals, 1 / (_capacity * _of.Load)), Arrive);
        }
        var balancer = _balancers[_arrivals.Next(_balancers.Length)];
        var attempt = new ScenarioAttempt(balancer, _clock.Now);
        balancer.Budget.CountRequest();
        if (!TrySend(attempt, new SelectionContext(null, ClientHash.Mix((ulong)_arrivals.Next(10_000)))))
        {
            _result.Refused++;
            return;
        }
        In(TimeoutSeconds, () => TimeOut(attempt));
        if (balancer.Hedge?.Delay is { } delay)
        {
            In(delay.TotalSeconds, () => SendSecond(attempt));
        }
    }

    private void SendSecond(ScenarioAttempt first)
    {
        var balancer = first.Balancer;
        if (!first.IsOver && balancer.Budget.TryTakeRetry())
        {
            var second = new ScenarioAttempt(balancer, first.Start, first);
            if (TrySend(second, new SelectionContext([first.Lease.Backend], isHedge: true)))
            {
                _result.Hedges++;
                first.Other = second;
            }
        }
    }

    private bool TrySend(ScenarioAttempt attempt, SelectionContext context)
    {
        if (!attempt.Balancer.Pool.TryAcquire(context, out var lease))
        {
            return false;
        }
        attempt.Lease = lease;
        var server = _servers[lease.Backend.Slot];
        if (server.Accept(attempt))
        {
            Work(server, attempt);
        }
        return true;
    }

    private void Work(ScenarioServer server, ScenarioAttempt attempt)
    {
        var paused = server.Paused;
        void End()
        {
            if (server.Paused > paused)
            {
                var later = server.Paused - paused;
                paused = server.Paused;
                In(later, End);
                return;
            }
            if (!attempt.IsOver)
            {
                Answer(attempt);
            }
            if (server.Next() is { } next)
            {
                Work(server, next);
            }
        }
        In(Exponential(_service, server.MeanSeconds * server.Factor) + Math.Max(0, server.PauseEnd - _clock.Now), End);
    }

    private void Answer(ScenarioAttempt attempt)
    {
        attempt.IsOver = true;
        var elapsed = attempt.Lease.ObserveResponse();
        attempt.Balancer.Hedge?.Observe(elapsed);
        attempt.Lease.Complete(AttemptOutcome.Succeeded);
        if (attempt.Other is { IsOver: false } other)
        {
            GiveUp(other, AttemptOutcome.Abandoned);
        }
        _result.Answer(_clock.Now - attempt.Start);
    }

    private void TimeOut(ScenarioAttempt attempt)
    {
        if (!attempt.IsOver)
        {
            GiveUp(attempt, AttemptOutcome.Failed);
            if (attempt.Other is { IsOver: false } other)
            {
                GiveUp(other, AttemptOutcome.Abandoned);
            }
            _result.End(_clock.Now - attempt.Start);
        }
    }

    // It keeps its slot if it is being worked at.
    private static void GiveUp(ScenarioAttempt attempt, AttemptOutcome outcome)
    {
        attempt.IsOver = true;
        var elapsed = attempt.Lease.ObserveNoResponse();
        attempt.Balancer.Hedge?.Observe(elapsed);
        attempt.Lease.Complete(outcome, "timed out");
    }

    private static double Exponential(Random random, double mean) => -mean * Math.Log(1 - random.NextDouble());

    private sealed class Clock : TimeProvider
    {
        public double Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => TimeSpan.TicksPerDay + (long)(Now * TimeSpan.TicksPerSecond);

        public override DateTimeOffset GetUtcNow() => new(GetTimestamp(), TimeSpan.Zero);
    }
}
