using System.Globalization;

namespace Client;

/// <summary>Sends random sums with a progress bar, checks each result, and prints a summary.</summary>
internal sealed class RandomTasks(BalancerConnection connection, int count, int outstanding)
{
    private const int BarWidth = 40;

    private readonly Dictionary<int, (long Expected, long SentAt)> _open = [];
    private readonly List<double> _milliseconds = new(Math.Min(count, 1_000_000));
    private int _right;
    private int _wrong;

    /// <summary>Sends them, and waits for all results.</summary>
    /// <returns>Whether all results were right.</returns>
    public async Task<bool> RunAsync(CancellationToken cancellationToken)
    {
        var started = TimeProvider.System.GetTimestamp();
        await using (TimeProvider.System.CreateTimer(_ => ShowBar(), null, TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(0.1)))
        {
            for (var (sent, done) = (0, 0); done < count; done++)
            {
                for (; sent < count && _open.Count < outstanding; sent++)
                {
                    await SendAsync(sent);
                }
                await connection.FlushAsync();
                Check(await connection.ReadAsync(cancellationToken));
            }
        }
        ShowBar();
        PrintSummary(TimeProvider.System.GetElapsedTime(started));
        return _wrong == 0;
    }

    private Task SendAsync(int id)
    {
        var numbers = Enumerable.Range(0, Random.Shared.Next(1, 10)).Select(_ => Random.Shared.Next(-1000, 1000)).ToList();
        _open[id] = (numbers.Sum(), TimeProvider.System.GetTimestamp());
        return connection.SendAsync($"{id}", string.Join(',', numbers));
    }

    private void Check((string Id, string Result) answer)
    {
        if (!int.TryParse(answer.Id, NumberStyles.None, CultureInfo.InvariantCulture, out var id) || !_open.Remove(id, out var task))
        {
            throw new IOException($"a result came for task {answer.Id}, which does not exist");
        }
        _milliseconds.Add(TimeProvider.System.GetElapsedTime(task.SentAt).TotalMilliseconds);
        if (answer.Result == task.Expected.ToString(CultureInfo.InvariantCulture))
        {
            _right++;
        }
        else
        {
            _wrong++;
        }
    }

    // Not in a pipe.
    private void ShowBar()
    {
        if (!Console.IsOutputRedirected)
        {
            var done = _right + _wrong;
            var full = (int)((long)done * BarWidth / count);
            Console.Write($"\r[{new string('#', full)}{new string('.', BarWidth - full)}] {done} of {count}{(done == count ? "\n" : "")}");
        }
    }

    private void PrintSummary(TimeSpan elapsed)
    {
        _milliseconds.Sort();
        double Percentile(int percent) => _milliseconds[(_milliseconds.Count * percent + 99) / 100 - 1];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            {count} tasks to {connection.Address}, {outstanding} at a time
              rate     {count / elapsed.TotalSeconds:F0} tasks/s for {elapsed.TotalSeconds:F1} s
              times    p50 {Percentile(50):F2} ms, p99 {Percentile(99):F2} ms, max {_milliseconds[^1]:F2} ms
              results  {_right} right, {_wrong} wrong
            """));
    }
}
