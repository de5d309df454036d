using System.Collections.Concurrent;
using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// Looks whether there were ever two mains: a node gives requests to workers, and answers to clients, only before another one has become
/// the main after it.
/// </summary>
internal sealed class MainsSeen : IAsyncDisposable
{
    // Between what a main does and that it is seen here; a main stops four tenths of a second before the next one may serve.
    private static readonly TimeSpan Tolerance = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(20);

    private readonly ConcurrentQueue<(DateTimeOffset At, ChaosNode Node, string What)> _seen = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _ticking;
    private long _late; // how late this process was in the last second, in ticks

    public MainsSeen() => _ticking = Task.Run(TickAsync);

    /// <summary>How much was seen.</summary>
    public int Count => _seen.Count;

    /// <summary>A node does what only a main does.</summary>
    public void Saw(ChaosNode node, string what) =>
        _seen.Enqueue((TimeProvider.System.GetUtcNow() - TimeSpan.FromTicks(Interlocked.Read(ref _late)), node, what));

    /// <summary>What a node did when another one was the main already.</summary>
    public IReadOnlyList<string> Wrong(IReadOnlyList<ChaosNode> nodes)
    {
        var terms = nodes.SelectMany(node => node.BecameMain.Select(at => (At: at, Node: node))).OrderBy(term => term.At).ToList();
        var wrong = new List<string>();
        foreach (var (at, node, what) in _seen)
        {
            var own = terms.LastOrDefault(term => term.Node == node && term.At <= at + Tolerance);
            if (terms.FirstOrDefault(term => term.Node != node && term.At > own.At && term.At < at - Tolerance) is { Node: { } other } next)
            {
                wrong.Add($"{at:HH:mm:ss.fff} node '{node.Name}' {what}, but '{other.Name}' was the main since {next.At:HH:mm:ss.fff}");
            }
        }
        return wrong;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _ticking;
        _stop.Dispose();
    }

    private async Task TickAsync()
    {
        var last = new Queue<long>();
        while (!_stop.IsCancellationRequested)
        {
            var begun = Stopwatch.GetTimestamp();
            await Task.Delay(Tick, TimeProvider.System);
            last.Enqueue((Stopwatch.GetElapsedTime(begun) - Tick).Ticks);
            if (last.Count > 50)
            {
                last.Dequeue();
            }
            Interlocked.Exchange(ref _late, Math.Max(0, last.Max()));
        }
    }
}
