using System.Diagnostics;

namespace Store;

/// <summary>Many clients that send requests at the same time; counts the answers and checks them.</summary>
/// <param name="newSession">Creates a client.</param>
/// <param name="time">The clock.</param>
internal sealed class TestRun(Func<StoreSession> newSession, TimeProvider time)
{
    private static readonly string[] Commands = ["PING", "LIST", "QUERY 1", "QUERY 2", "BUY 3", "BUY 4", "QUERY 99"];

    private int _answers;
    private int _bought;
    private int _wrong;
    private int _givenUp;
    private long _longestTicks;

    /// <summary>Runs the clients.</summary>
    /// <param name="requests">How many requests in all.</param>
    /// <param name="clients">How many clients at once.</param>
    /// <param name="pause">How long each of them pauses after each answer.</param>
    /// <param name="command">The command of each request; null for several kinds.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>A line that sums it up, and whether every request had a right answer.</returns>
    public async Task<(string Summary, bool IsGood)> RunAsync(
        int requests, int clients, TimeSpan pause, string? command, CancellationToken cancellationToken)
    {
        var next = 0;
        var started = time.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
        {
            await using var session = newSession();
            while (Interlocked.Increment(ref next) is var number && number <= requests)
            {
                var asked = command ?? Commands[number % Commands.Length];
                var from = time.GetTimestamp();
                Count(asked, await session.AskAsync(asked, cancellationToken), time.GetElapsedTime(from));
                if (pause > TimeSpan.Zero)
                {
                    await Task.Delay(pause, time, cancellationToken);
                }
            }
        }));
        var seconds = time.GetElapsedTime(started).TotalSeconds;
        var longest = new TimeSpan(_longestTicks).TotalSeconds;
        var counts = $"{_bought} bought, {_wrong} wrong, {_givenUp} given up";
        var summary = FormattableString.Invariant($"{_answers} answers in {seconds:0.0} s, {counts}; the longest took {longest:0.00} s");
        return (summary, _wrong + _givenUp == 0);
    }

    private void Count(string command, string? answer, TimeSpan elapsed)
    {
        Interlocked.Increment(ref answer is null ? ref _givenUp : ref _answers);
        if (answer is null)
        {
            return;
        }
        var isRight = command.Split(' ') switch
        {
            ["PING"] => answer == "PONG",
            ["LIST"] => answer.Split('\n').Length >= 5,
            ["QUERY", "99"] => answer == "NO SUCH PRODUCT",
            ["QUERY", var id] => answer.StartsWith($"{id} ", StringComparison.Ordinal),
            ["BUY", var id] => answer == "SOLD OUT" || answer.StartsWith($"BOUGHT {id} ", StringComparison.Ordinal),
            _ => throw new UnreachableException(command),
        };
        if (!isRight)
        {
            Interlocked.Increment(ref _wrong);
        }
        if (answer.StartsWith("BOUGHT", StringComparison.Ordinal))
        {
            Interlocked.Increment(ref _bought);
        }
        for (var longest = Interlocked.Read(ref _longestTicks); elapsed.Ticks > longest; longest = Interlocked.Read(ref _longestTicks))
        {
            Interlocked.CompareExchange(ref _longestTicks, elapsed.Ticks, longest);
        }
    }
}
