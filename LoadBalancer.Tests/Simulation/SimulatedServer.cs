using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Simulation;

/// <summary>A request and what became of it so far.</summary>
internal sealed record SimulatedRequest(double Start, ulong Client)
{
    public List<Backend> Tried { get; } = [];

    /// <summary>How many attempts broke off.</summary>
    public int Broken { get; set; }
}

/// <summary>One attempt at a request, which is at a server until it leaves.</summary>
internal sealed record SimulatedAttempt(long Number, SimulatedServer Server, SimulatedRequest Request, BackendLease Lease);

/// <summary>A server that works at a few requests at once; further ones wait inside it, first come first served.</summary>
internal sealed class SimulatedServer(Backend backend, int slots, double meanSeconds)
{
    private readonly Dictionary<long, SimulatedAttempt> _inside = []; // by number
    private readonly Queue<SimulatedAttempt> _waiting = new();
    private int _busy;

    public Backend Backend { get; } = backend;

    /// <summary>How long it works at a request on average.</summary>
    public double MeanSeconds { get; set; } = meanSeconds;

    /// <summary>Whether it accepts connections.</summary>
    public bool IsUp { get; private set; } = true;

    /// <summary>How often it has crashed.</summary>
    public int Life { get; private set; }

    /// <summary>Takes an attempt in.</summary>
    /// <returns>Whether work at it begins at once.</returns>
    public bool Accept(SimulatedAttempt attempt)
    {
        _inside.Add(attempt.Number, attempt);
        if (_busy < slots)
        {
            _busy++;
            return true;
        }
        _waiting.Enqueue(attempt);
        return false;
    }

    /// <summary>The client no longer waits for this attempt. If the attempt is already being served, it keeps its slot.</summary>
    /// <returns>Whether it was there.</returns>
    public bool Leave(SimulatedAttempt attempt) => _inside.Remove(attempt.Number);

    /// <summary>A slot is free.</summary>
    /// <returns>The attempt to serve next; null if none waits.</returns>
    public SimulatedAttempt? Next()
    {
        while (_waiting.TryDequeue(out var next))
        {
            if (_inside.ContainsKey(next.Number))
            {
                return next;
            }
        }
        _busy--;
        return null;
    }

    /// <summary>It dies.</summary>
    /// <returns>What was lost with it.</returns>
    public List<SimulatedAttempt> Crash()
    {
        List<SimulatedAttempt> lost = [.. _inside.Values.OrderBy(attempt => attempt.Number)];
        (IsUp, _busy) = (false, 0);
        Life++;
        _inside.Clear();
        _waiting.Clear();
        return lost;
    }

    /// <summary>It accepts connections again.</summary>
    public void Start() => IsUp = true;
}
