using LoadBalancer.Configuration.Options;
using LoadBalancer.Health;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Simulation;

/// <summary>
/// A real pool with a real policy, ejections and slow start on the fake clock, and servers that are a queue each: event after event,
/// the same in each run. Requests arrive at random (Poisson), so many that 70 % of all servers' slots are busy; the work at one takes
/// a random time (exponential). Retries are those of the HTTP forwarder: to the next where a connection is refused, once more where
/// it broke.
/// </summary>
internal sealed class PoolSimulation
{
    private const int Servers = 100;
    private const int Slots = 4;             // requests that a server works at at once
    private const double MeanSeconds = 0.1;
    private const double Utilisation = 0.7;
    private const double TimeoutSeconds = 10;
    private const int Clients = 10_000;
    private const double HotClientShare = 0.05; // what five servers can do

    private readonly FakeTimeProvider _clock = new();
    private readonly PriorityQueue<Action, (double Time, long Number)> _events = new();
    private readonly Random _arrivals = new(1);
    private readonly Random _service = new(2);
    private readonly BackendPool _pool;
    private readonly SimulatedServer[] _servers;
    private readonly SimulationResult _result;
    private long _number;
    private double _now;

    private PoolSimulation(PolicyName policy, int requests)
    {
        _result = new SimulationResult(policy, requests);
        _servers = [.. Enumerable.Range(0, Servers).Select(
            i => new SimulatedServer(TestBackends.Unprobed($"b{i}", time: _clock), Slots, MeanSeconds))];
        _pool = TestBackends.PoolOf(TestPolicies.Make(policy, new Random(3)), [.. _servers.Select(server => server.Backend)]);
        EjectionTimer.Watch(_pool, _clock, NullLogger.Instance);
        SlowStart.Watch(_pool, TimeSpan.FromSeconds(5), _clock, NullLogger.Instance);
    }

    /// <summary>Lets so many requests through.</summary>
    /// <param name="policy">How servers are chosen.</param>
    /// <param name="requests">How many.</param>
    /// <param name="withTrouble">Whether one server is ten times slower than the others, one dies and one flaps.</param>
    public static SimulationResult Run(PolicyName policy, int requests, bool withTrouble)
    {
        var simulation = new PoolSimulation(policy, requests);
        if (withTrouble)
        {
            simulation._servers[SimulationResult.Slow].MeanSeconds = 10 * MeanSeconds;
            simulation.In(10, () => simulation.Crash(simulation._servers[40]));
            simulation.In(4, () => simulation.Flap(simulation._servers[70]));
        }
        simulation.Arrive();
        while (!simulation._result.IsComplete)
        {
            simulation._events.TryDequeue(out var happens, out var when);
            simulation._clock.Advance(TimeSpan.FromSeconds(when.Time - simulation._now));
            simulation._now = when.Time;
            happens!();
        }
        simulation._result.SlowShare = simulation._servers[SimulationResult.Slow].Backend.Requests / (double)requests;
        return simulation._result;
    }

    private void In(double seconds, Action happens) => _events.Enqueue(happens, (_now + seconds, _number++));

    private void Arrive()
    {
        if (_result.Arrived++ < _result.Requests - 1)
        {
            In(Exponential(_arrivals, MeanSeconds / (Servers * Slots * Utilisation)), Arrive);
        }
        if (_result.Arrived % 100 == 0)
        {
            _result.Imbalances.Add(
                _servers.Max(server => server.Backend.InFlight) / Math.Max(1e-9, _servers.Average(server => server.Backend.InFlight)));
        }
        var client = _arrivals.NextDouble() < HotClientShare ? 0 : _arrivals.Next(1, Clients);
        Send(new SimulatedRequest(_now, ClientHash.Mix((ulong)client)));
    }

    private void Send(SimulatedRequest request)
    {
        while (_pool.TryAcquire(new SelectionContext(request.Tried.Count == 0 ? null : request.Tried, request.Client), out var lease))
        {
            var server = _servers[lease.Backend.Slot];
            if (server.IsUp)
            {
                Accept(server, new SimulatedAttempt(_number++, server, request, lease));
                return;
            }
            request.Tried.Add(lease.Backend);
            lease.Complete(AttemptOutcome.ConnectFailed, "connection refused");
        }
        _result.Fail(0);
    }

    private void Accept(SimulatedServer server, SimulatedAttempt attempt)
    {
        In(TimeoutSeconds, () => TimeOut(attempt));
        if (server.Accept(attempt))
        {
            Work(attempt);
        }
    }

    private void Work(SimulatedAttempt attempt)
    {
        var life = attempt.Server.Life;
        In(Exponential(_service, attempt.Server.MeanSeconds), () =>
        {
            if (life != attempt.Server.Life)
            {
                return; // It crashed meanwhile.
            }
            if (attempt.Server.Leave(attempt))
            {
                attempt.Lease.ObserveResponse();
                attempt.Lease.Complete(AttemptOutcome.Succeeded);
                _result.Answer(_now - attempt.Request.Start);
            }
            if (attempt.Server.Next() is { } next)
            {
                Work(next);
            }
        });
    }

    private void TimeOut(SimulatedAttempt attempt)
    {
        if (attempt.Server.Leave(attempt))
        {
            attempt.Lease.ObserveNoResponse();
            attempt.Lease.Complete(AttemptOutcome.Failed, "timed out");
            _result.Fail(_now - attempt.Request.Start);
        }
    }

    private void Crash(SimulatedServer server)
    {
        foreach (var attempt in server.Crash())
        {
            attempt.Request.Tried.Add(server.Backend);
            attempt.Lease.Complete(AttemptOutcome.Failed, "connection reset");
            if (attempt.Request.Broken++ == 0)
            {
                Send(attempt.Request);
            }
            else
            {
                _result.Fail(_now - attempt.Request.Start);
            }
        }
    }

    // A second of every five it is not there.
    private void Flap(SimulatedServer server)
    {
        Crash(server);
        In(1, server.Start);
        In(5, () => Flap(server));
    }

    private static double Exponential(Random random, double mean) => -mean * Math.Log(1 - random.NextDouble());
}
