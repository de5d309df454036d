using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Simulation;

/// <summary>A request of a <see cref="ScenarioSimulation"/>, or the second attempt at one.</summary>
internal sealed class ScenarioAttempt(ScenarioBalancer balancer, double start, ScenarioAttempt? first = null)
{
    public ScenarioBalancer Balancer { get; } = balancer;

    /// <summary>When the request arrived.</summary>
    public double Start { get; } = start;

    public ScenarioAttempt? Other { get; set; } = first;

    public BackendLease Lease { get; set; } = null!;

    /// <summary>Whether nobody waits for it any more.</summary>
    public bool IsOver { get; set; }
}

/// <summary>A server of a <see cref="ScenarioSimulation"/>: works at some requests at once; further ones wait in turn.</summary>
internal sealed class ScenarioServer(int slots, double meanSeconds)
{
    private readonly Queue<ScenarioAttempt> _waiting = new();
    private int _busy;

    /// <summary>How many it works at at once.</summary>
    public int Slots { get; } = slots;

    /// <summary>How long it needs on average while nothing disturbs it.</summary>
    public double MeanSeconds { get; } = meanSeconds;

    /// <summary>How many times longer it needs for what it begins now.</summary>
    public double Factor { get; set; } = 1;

    /// <summary>When its last pause ends.</summary>
    public double PauseEnd { get; private set; }

    /// <summary>How long it paused until <see cref="PauseEnd"/>.</summary>
    public double Paused { get; private set; }

    /// <summary>It stops for so long.</summary>
    public void Pause(double now, double seconds) => (PauseEnd, Paused) = (now + seconds, Paused + seconds);

    /// <summary>An attempt arrives.</summary>
    /// <returns>Whether work at it begins at once.</returns>
    public bool Accept(ScenarioAttempt attempt)
    {
        if (_busy < Slots)
        {
            _busy++;
            return true;
        }
        _waiting.Enqueue(attempt);
        return false;
    }

    /// <summary>A slot is free.</summary>
    /// <returns>What is worked at next; null if nothing waits.</returns>
    public ScenarioAttempt? Next()
    {
        while (_waiting.TryDequeue(out var next))
        {
            if (!next.IsOver)
            {
                return next;
            }
        }
        _busy--;
        return null;
    }
}
