using System.Globalization;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Simulation;

/// <summary>How requests fared.</summary>
internal sealed class SimulationResult(PolicyName policy, int requests)
{
    /// <summary>Which server is slow, where one is.</summary>
    public const int Slow = 10;

    /// <summary>The head of the table whose lines <see cref="Line"/> makes.</summary>
    public const string Head = """
        | policy | 50th, ms | 99th, ms | 99.9th, ms | errors | imbalance | at the slow one |
        | --- | ---: | ---: | ---: | ---: | ---: | ---: |
        """;

    private readonly List<double> _times = new(requests);

    public int Requests { get; } = requests;

    public int Arrived { get; set; }

    /// <summary>Requests that no retry could save.</summary>
    public int Errors { get; private set; }

    /// <summary>The share of attempts that the slow server got.</summary>
    public double SlowShare { get; set; }

    /// <summary>The most that a server had in flight by the mean, at many instants.</summary>
    public List<double> Imbalances { get; } = [];

    public bool IsComplete => _times.Count == Requests;

    /// <summary>The line of the table.</summary>
    public string Line => string.Create(CultureInfo.InvariantCulture,
        $"| {policy} | {Percentile(50):0} | {Percentile(99):0} | {Percentile(99.9):0} | {Errors} | {Imbalances.Average():0.0} | " +
            $"{100 * SlowShare:0.00} % |");

    public void Answer(double seconds) => _times.Add(seconds);

    public void Fail(double seconds)
    {
        _times.Add(seconds);
        Errors++;
    }

    /// <summary>The time within which so many in a hundred requests were over, in milliseconds.</summary>
    public double Percentile(double percent)
    {
        _times.Sort();
        return 1000 * _times[(int)Math.Ceiling(_times.Count * percent / 100) - 1];
    }
}
