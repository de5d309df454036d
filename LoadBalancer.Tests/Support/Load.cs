using System.Collections.Concurrent;
using System.Net;

namespace LoadBalancer.Tests.Support;

/// <summary>Clients that ask one thing after the other until they are told to stop.</summary>
internal sealed class Load : IAsyncDisposable
{
    private readonly HttpClient _client = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _clients;

    /// <summary>Starts four clients.</summary>
    /// <param name="address">Whom they ask.</param>
    /// <param name="pause">How long each of them thinks between an answer and its next request.</param>
    public Load(string address, TimeSpan pause = default) =>
        _clients = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() => AskAsync(address, pause)))];

    /// <summary>What they were answered so far.</summary>
    public ConcurrentQueue<HttpStatusCode> Statuses { get; } = [];

    /// <summary>Waits for so many further answers.</summary>
    public async Task AnsweredAsync(int more)
    {
        var wanted = Statuses.Count + more;
        await Eventually.BeTrueAsync(() => Statuses.Count >= wanted || _clients.Any(client => client.IsCompleted), "requests are answered");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients);
        _client.Dispose();
        _stop.Dispose();
    }

    private async Task AskAsync(string address, TimeSpan pause)
    {
        while (!_stop.IsCancellationRequested)
        {
            using var response = await _client.GetAsync(new Uri(address));
            Statuses.Enqueue(response.StatusCode);
            if (pause > TimeSpan.Zero)
            {
                await Task.Delay(pause, TimeProvider.System);
            }
        }
    }
}
