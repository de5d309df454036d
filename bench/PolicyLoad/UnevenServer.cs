using System.Globalization;
using Samples;

namespace LoadBalancer.Bench;

/// <summary>
/// A server that works at four requests at a time; others wait, first come, first served. A request takes 100 ms on average, exponentially
/// distributed. Work goes on if the client has left. Of the scenarios <c>same</c> is no more than that. In <c>speed4</c> every fourth
/// server takes four times as long. In <c>antagonist</c> each takes three times as long for two seconds on average, after eight on average:
/// something else on its machine needs the processor. Random numbers are the same in each run.
/// </summary>
internal sealed class UnevenServer(Random random, double mean) : IDisposable
{
    private const int Slots = 4;
    private const double Mean = 0.1;
    private const double SlowFactor = 3;
    private const double SlowSeconds = 2;
    private const double CalmSeconds = 8;

    private readonly SemaphoreSlim _slots = new(Slots);
    private readonly Lock _gate = new(); // guards the random numbers
    private volatile bool _isDisturbed;

    /// <summary>Runs the servers of a scenario until the input ends.</summary>
    public static async Task RunAsync(string scenario, int firstPort, int count)
    {
        var servers = Enumerable.Range(0, count).Select(i =>
            new UnevenServer(new Random(i), scenario == "speed4" && i % 4 == 0 ? 4 * Mean : Mean)).ToList();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls([.. Enumerable.Range(firstPort, count).Select(port => $"http://127.0.0.1:{port}")]);
        await using var app = builder.Build();
        app.Run(context => servers[context.Connection.LocalPort - firstPort].ServeAsync(context));
        await app.StartAsync();
        var share = 1.0;
        if (scenario == "antagonist")
        {
            servers.ForEach(server => Background.Run(server.DisturbAsync));
            share = (CalmSeconds + SlowSeconds / SlowFactor) / (CalmSeconds + SlowSeconds);
        }
        await Console.Out.WriteLineAsync(servers.Sum(server => share * server.Capacity).ToString("0.0", CultureInfo.InvariantCulture));
        while (await Console.In.ReadLineAsync() is not null)
        {
            // Only the end counts.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _slots.Dispose();

    private double Capacity => Slots / mean;

    private async Task ServeAsync(HttpContext context)
    {
        await _slots.WaitAsync();
        try
        {
            await Task.Delay(Exponential(_isDisturbed ? SlowFactor * mean : mean), TimeProvider.System);
        }
        finally
        {
            _slots.Release();
        }
        await context.Response.WriteAsync("done\n");
    }

    private async Task DisturbAsync()
    {
        while (true)
        {
            await Task.Delay(Exponential(CalmSeconds), TimeProvider.System);
            _isDisturbed = true;
            await Task.Delay(Exponential(SlowSeconds), TimeProvider.System);
            _isDisturbed = false;
        }
    }

    private TimeSpan Exponential(double seconds)
    {
        lock (_gate)
        {
            return TimeSpan.FromSeconds(-seconds * Math.Log(1 - random.NextDouble()));
        }
    }
}
