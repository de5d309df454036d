namespace LoadBalancer.Tests.Simulation;

/// <summary>How requests fared.</summary>
internal sealed class ScenarioResult(int requests)
{
    private readonly List<double> _times = new(requests);
    private bool _isSorted;

    /// <summary>Requests that were not given a backend.</summary>
    public int Refused { get; set; }

    /// <summary>How many requests were answered within a second, by how many all servers can answer in that time.</summary>
    public double Goodput { get; set; }

    /// <summary>Requests that were answered within a second of their arrival.</summary>
    public int InTime { get; private set; }

    /// <summary>Attempts at a second server.</summary>
    public int Hedges { get; set; }

    public bool IsComplete => _times.Count + Refused >= requests;

    public void Answer(double seconds)
    {
        InTime += seconds <= 1 ? 1 : 0;
        End(seconds);
    }

    /// <summary>A request is over, with an answer or a time-out.</summary>
    public void End(double seconds)
    {
        _times.Add(seconds);
        _isSorted = false;
    }

    /// <summary>The time within which so many in a hundred of the requests that had a backend were over, in milliseconds.</summary>
    public double Percentile(double percent)
    {
        if (!_isSorted)
        {
            _times.Sort();
            _isSorted = true;
        }
        return 1000 * _times[(int)Math.Ceiling(_times.Count * percent / 100) - 1];
    }
}
