using System.Collections.Concurrent;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// HTTP clients that ask one thing after the other and repeat nothing, as wrk does: whatever does not get its answer is a failure. A
/// client whose connection is told to end, by <c>Connection: close</c>, opens another one.
/// </summary>
internal sealed class SteadyLoad : IAsyncDisposable
{
    private readonly int _port;
    private readonly bool _isKeptAlive;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _clients;
    private int _answered;

    /// <summary>Starts three clients.</summary>
    /// <param name="port">Where they ask.</param>
    /// <param name="isKeptAlive">Whether they use a connection again.</param>
    public SteadyLoad(int port, bool isKeptAlive)
    {
        (_port, _isKeptAlive) = (port, isKeptAlive);
        _clients = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(AskAsync))];
    }

    /// <summary>What went wrong.</summary>
    public ConcurrentQueue<string> Failures { get; } = [];

    /// <summary>Waits for so many further answers.</summary>
    public async Task AnsweredAsync(int more)
    {
        var wanted = Volatile.Read(ref _answered) + more;
        await Eventually.BeTrueAsync(() => Volatile.Read(ref _answered) >= wanted || !Failures.IsEmpty, "requests are answered");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
        _stop.Dispose();
    }

    private async Task AskAsync()
    {
        var request = $"GET / HTTP/1.1\r\nHost: a\r\n{(_isKeptAlive ? "" : "Connection: close\r\n")}\r\n";
        while (!_stop.IsCancellationRequested && Failures.IsEmpty)
        {
            try
            {
                using var peer = await RawPeer.ConnectAsync(_port);
                var isOpen = true;
                while (isOpen && !_stop.IsCancellationRequested)
                {
                    await peer.SendAsync(request);
                    var head = await peer.ReadHeadAsync();
                    if (head?.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal) != true || await peer.ReadUntilAsync("one") is null)
                    {
                        Failures.Enqueue(head ?? "the connection was closed without an answer");
                        return;
                    }
                    Interlocked.Increment(ref _answered);
                    isOpen = _isKeptAlive && !head.Contains("Connection: close", StringComparison.OrdinalIgnoreCase);
                }
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                Failures.Enqueue(e.Message);
            }
        }
    }
}
