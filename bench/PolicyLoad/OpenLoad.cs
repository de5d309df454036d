using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Samples;

namespace LoadBalancer.Bench;

/// <summary>
/// Sends requests at random times at a fixed rate (Poisson), however long the answers take, to proxies chosen at random. The time of a
/// request counts from when it was due and not from when it was sent, so that a proxy cannot slow down who measures it (coordinated
/// omission). A client gives up after ten seconds; that, an error and a status of 500 or more is a failure, and counts with ten seconds.
/// </summary>
internal static class OpenLoad
{
    private const double GoodSeconds = 1;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

    /// <summary>Sends the requests, and prints the results.</summary>
    /// <param name="rate">Requests in a second.</param>
    /// <param name="warm">Seconds at the beginning that do not count.</param>
    /// <param name="seconds">Seconds that count.</param>
    /// <param name="ports">Where the proxies listen.</param>
    public static async Task RunAsync(double rate, double warm, double seconds, int[] ports)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = Patience };
        var uris = ports.Select(port => new Uri($"http://127.0.0.1:{port}/")).ToArray();
        var random = new Random(7);
        var times = new ConcurrentBag<(double Seconds, bool IsAnswered)>();
        using var inFlight = new CountdownEvent(1);
        var clock = Stopwatch.StartNew();
        for (var due = 0.0; due < warm + seconds;)
        {
            if (due > clock.Elapsed.TotalSeconds)
            {
                await Task.Delay(Tick, TimeProvider.System);
                continue;
            }
            var (at, uri) = (due, uris[random.Next(uris.Length)]);
            inFlight.AddCount();
            Background.Run(async () =>
            {
                var isAnswered = await TrySendAsync(client, uri, TimeSpan.FromSeconds(at) + Patience - clock.Elapsed);
                if (at >= warm)
                {
                    times.Add((isAnswered ? clock.Elapsed.TotalSeconds - at : Patience.TotalSeconds, isAnswered));
                }
                inFlight.Signal();
            });
            due += -Math.Log(1 - random.NextDouble()) / rate;
        }
        inFlight.Signal();
        while (!inFlight.IsSet)
        {
            await Task.Delay(Tick, TimeProvider.System);
        }
        Print([.. times.OrderBy(time => time.Seconds)], seconds);
    }

    private static async Task<bool> TrySendAsync(HttpClient client, Uri uri, TimeSpan left)
    {
        await Task.Yield(); // The next one may be due.
        using var late = new CancellationTokenSource(left > Tick ? left : Tick);
        try
        {
            using var response = await client.GetAsync(uri, late.Token);
            return response.StatusCode < HttpStatusCode.InternalServerError;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            return false;
        }
    }

    private static void Print(IReadOnlyList<(double Seconds, bool IsAnswered)> times, double seconds)
    {
        double Percentile(double percentile) =>
            1000 * times[Math.Clamp((int)Math.Ceiling(times.Count * percentile / 100) - 1, 0, times.Count - 1)].Seconds;
        var good = times.Count(time => time.IsAnswered && time.Seconds <= GoodSeconds) / seconds;
        var failed = times.Count(time => !time.IsAnswered);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{times.Count} {Percentile(50):0} {Percentile(99):0} {Percentile(99.9):0} {failed} {good:0.0}"));
    }
}
