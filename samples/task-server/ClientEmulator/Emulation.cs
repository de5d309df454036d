using System.Collections.Concurrent;
using System.Net.Http.Json;

namespace ClientEmulator;

/// <summary>Sends requests of all kinds, many at a time, and keeps the answers.</summary>
internal sealed class Emulation : IDisposable
{
    // Of ten requests, four add a task, four read, and two are wrong.
    private static readonly Kind[] Mix =
    [
        Kind.Add, Kind.List, Kind.Add, Kind.Find, Kind.Invalid, Kind.Add, Kind.List, Kind.Add, Kind.Find, Kind.Missing,
    ];

    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly HttpClient _client;
    private readonly string _server;
    private readonly string _run = Guid.NewGuid().ToString("N")[..8];
    private readonly ConcurrentQueue<Answer> _answers = [];
    private readonly ConcurrentDictionary<long, string> _stored = [];
    private long _lastStored;

    public Emulation(string name, Uri url, TimeProvider time)
    {
        (_name, _server, _time) = (name, url.GetLeftPart(UriPartial.Authority), time);
        _client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = url, Timeout = TimeSpan.FromSeconds(30) };
    }

    public void Dispose() => _client.Dispose();

    /// <summary>Waits until <c>/health</c> says that a server is up.</summary>
    /// <exception cref="TimeoutException">No server was up in time.</exception>
    public async Task WaitForServersAsync(TimeSpan patience, CancellationToken cancellationToken)
    {
        for (var started = _time.GetTimestamp(); ; await Task.Delay(TimeSpan.FromMilliseconds(100), _time, cancellationToken))
        {
            string fault;
            try
            {
                using var response = await _client.GetAsync("/health", cancellationToken);
                if (response.IsSuccessStatusCode)
                {
                    return;
                }
                fault = $"GET /health is answered {(int)response.StatusCode}";
            }
            catch (HttpRequestException e)
            {
                fault = e.Message;
            }
            if (_time.GetElapsedTime(started) > patience)
            {
                throw new TimeoutException($"nobody serves at {_server} after {patience.TotalSeconds} s: {fault}");
            }
        }
    }

    /// <summary>Sends the requests, and then checks that each task that was stored can be read. Ctrl+C ends it early.</summary>
    public async Task<Summary> RunAsync(int requests, int concurrency, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        using var progress = new ProgressLine(Progress, _time);
        try
        {
            var options = new ParallelOptions { MaxDegreeOfParallelism = concurrency, CancellationToken = cancellationToken };
            var indexes = Enumerable.Range(0, requests);
            await Parallel.ForEachAsync(indexes, options, async (i, cancel) => _answers.Enqueue(await SendAsync(i, cancel)));
        }
        catch (OperationCanceledException) when (!_answers.IsEmpty)
        {
            // Ctrl+C: the summary is about the answers so far.
        }
        var elapsed = _time.GetElapsedTime(started);
        var title = $"{_name}: {_answers.Count} requests to {_server}, {concurrency} at a time";
        return new Summary(title, elapsed, [.. _answers], _stored.Count, await CountLostAsync());

        string Progress()
        {
            var rate = _answers.Count / _time.GetElapsedTime(started).TotalSeconds;
            return $"{_name}: {_answers.Count} of {requests} requests, {rate:F0}/s";
        }
    }

    private async Task<Answer> SendAsync(int index, CancellationToken cancellationToken)
    {
        var kind = Mix[index % Mix.Length];
        var title = $"{_name}: task {index} of run {_run}";
        var started = _time.GetTimestamp();
        try
        {
            using var response = await (kind switch
            {
                Kind.Add => _client.PostAsJsonAsync("/tareas", new { titulo = title }, cancellationToken),
                Kind.Find when Volatile.Read(ref _lastStored) is > 0 and var id => _client.GetAsync($"/tareas/{id}", cancellationToken),
                Kind.Invalid => _client.PostAsJsonAsync("/tareas", new { titulo = index }, cancellationToken),
                Kind.Missing => _client.GetAsync("/tareas/0", cancellationToken),
                _ => _client.GetAsync("/tareas", cancellationToken),
            });
            var elapsed = _time.GetElapsedTime(started);
            if (kind == Kind.Add && response.IsSuccessStatusCode)
            {
                var id = (await response.Content.ReadFromJsonAsync<StoredTask>(cancellationToken))!.Id;
                _stored[id] = title;
                Volatile.Write(ref _lastStored, id);
            }
            return new Answer(kind, (int)response.StatusCode, elapsed);
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return new Answer(kind, Status: 0, _time.GetElapsedTime(started));
        }
    }

    // Null if the tasks cannot be read.
    private async Task<int?> CountLostAsync()
    {
        try
        {
            var found = (await _client.GetFromJsonAsync<StoredTask[]>("/tareas"))!.ToDictionary(task => task.Id, task => task.Titulo);
            return _stored.Count(task => found.GetValueOrDefault(task.Key) != task.Value);
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    private sealed record StoredTask(long Id, string Titulo);
}
