using System.Globalization;

namespace ClientEmulator;

/// <summary>The result: rate, times, answers, and whether a task was lost.</summary>
internal sealed record Summary(string Title, TimeSpan Elapsed, IReadOnlyList<Answer> Answers, int Stored, int? Lost)
{
    private IEnumerable<Answer> Unexpected => Answers.Where(answer => answer.Status != answer.Expected);

    /// <summary>Whether every answer was as expected and no task is lost.</summary>
    public bool IsGood => Lost == 0 && !Unexpected.Any();

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"""
        {Title}
          rate        {Rate()}
          times       {Times()}
          answers     {Count(Answers)}
          forced      400: {Forced(Kind.Invalid)}, 404: {Forced(Kind.Missing)}
          unexpected  {(Unexpected.Any() ? Count(Unexpected) : "none")}
          tasks       {Stored} stored, {LostText()}
        """);

    private string Rate()
    {
        var expected = 100.0 * (Answers.Count - Unexpected.Count()) / Answers.Count;
        return string.Create(CultureInfo.InvariantCulture,
            $"{Answers.Count / Elapsed.TotalSeconds:F1} requests/s for {Elapsed.TotalSeconds:F1} s, {expected:F1} % answered as expected");
    }

    private string LostText() => Lost switch
    {
        null => "but they cannot be read to see whether all are there",
        0 => "every one is there",
        _ => $"{Lost} LOST",
    };

    private string Times()
    {
        var sorted = Answers.Select(answer => answer.Elapsed.TotalMilliseconds).Order().ToArray();
        return string.Create(CultureInfo.InvariantCulture,
            $"p50 {Percentile(50):F1} ms, p95 {Percentile(95):F1} ms, p99 {Percentile(99):F1} ms, max {sorted[^1]:F1} ms");

        double Percentile(int percent) => sorted[(((sorted.Length * percent) + 99) / 100) - 1];
    }

    private string Forced(Kind kind)
    {
        var answers = Answers.Where(answer => answer.Kind == kind).ToList();
        return $"{answers.Count(answer => answer.Status == answer.Expected)} of {answers.Count}";
    }

    private static string Count(IEnumerable<Answer> answers) => string.Join(
        ", ",
        answers.GroupBy(answer => answer.Status)
            .OrderBy(group => group.Key)
            .Select(group => $"{(group.Key == 0 ? "no answer" : group.Key)}: {group.Count()}"));
}
