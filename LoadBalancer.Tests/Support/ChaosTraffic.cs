using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Support;

/// <summary>What clients and workers do at nodes that are killed, stopped and cut off. What must not happen is collected.</summary>
/// <param name="nodes">The nodes.</param>
/// <param name="mains">Gets what only a main does.</param>
/// <param name="wrong">Gets what must not happen.</param>
internal sealed class ChaosTraffic(IReadOnlyList<ChaosNode> nodes, MainsSeen mains, Action<string> wrong) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1); // of a ZeroMQ client, before it asks another node

    private readonly CancellationTokenSource _stop = new(); // the two need no Dispose: they have no timer
    private readonly CancellationTokenSource _answered = new(); // no client waits for a worker any more
    private readonly List<Task> _clients = [];
    private readonly List<Task> _workers = [];
    private int _answers;
    private int _results;
    private int _brokered;

    /// <summary>How many HTTP requests were answered.</summary>
    public int Answers => Volatile.Read(ref _answers);

    /// <summary>How many tasks had their result.</summary>
    public int Results => Volatile.Read(ref _results);

    /// <summary>How many ZeroMQ requests were answered.</summary>
    public int Brokered => Volatile.Read(ref _brokered);

    /// <summary>Begins.</summary>
    /// <param name="hasTasks">Whether there are tasks too.</param>
    public void Start(bool hasTasks)
    {
        foreach (var node in nodes)
        {
            _clients.Add(GetAsync(node));
            _clients.Add(GetAsync(node));
            _workers.Add(WorkAsync(node));
            if (hasTasks)
            {
                _clients.Add(AskTasksAsync(node));
                _workers.Add(WorkOnTasksAsync(node));
            }
        }
        _clients.Add(AskAsync(0));
        _clients.Add(AskAsync(1));
    }

    /// <summary>Ends it; it may be called again.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_clients).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _answered.CancelAsync();
        await Task.WhenAll([.. _clients, .. _workers]);
    }

    // No request may fail at a node that lives from the begin of the request to its end.
    private async Task GetAsync(ChaosNode node)
    {
        while (!_stop.IsCancellationRequested)
        {
            var epoch = node.Epoch;
            if (epoch % 2 == 0)
            {
                await PauseAsync(20);
                continue;
            }
            // Another one for each process, so that it has no connections of a former one.
            using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{node.Web}") };
            while (node.Epoch == epoch && !_stop.IsCancellationRequested)
            {
                try
                {
                    using var answer = await client.GetAsync("/");
                    if (answer.StatusCode != HttpStatusCode.OK && node.Epoch == epoch)
                    {
                        wrong($"node '{node.Name}' answered {(int)answer.StatusCode}");
                    }
                    Interlocked.Increment(ref _answers);
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                {
                    if (node.Epoch == epoch)
                    {
                        wrong($"node '{node.Name}' lives, and a request failed: {e.Message}");
                    }
                }
                await PauseAsync(5);
            }
        }
    }

    // A ZeroMQ client that asks the next node where it has no answer.
    private async Task AskAsync(int number)
    {
        for (var (id, at) = (0, number); !_stop.IsCancellationRequested; id++)
        {
            var node = nodes[at % nodes.Count];
            await using var socket = new RequestSocket { Identity = Encoding.UTF8.GetBytes($"{number}.{id}") };
            socket.Connect(new IPEndPoint(IPAddress.Loopback, node.Broker));
            using var late = new CancellationTokenSource(Patience);
            try
            {
                var answer = await socket.RequestAsync(ZmtpMessage.Of($"{number}.{id}", "PING"), late.Token);
                if ($"{answer}" == "FAIL")
                {
                    at++; // It stops.
                    continue;
                }
                mains.Saw(node, "has passed an answer to a client");
                Interlocked.Increment(ref _brokered);
                await PauseAsync(5);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException)
            {
                at++;
            }
        }
    }

    // A worker, which connects again by itself.
    private async Task WorkAsync(ChaosNode node)
    {
        await using var worker = new ReplySocket();
        worker.Connect(new IPEndPoint(IPAddress.Loopback, node.Broker + 1));
        await using var end = _answered.Token.Register(() => _ = worker.DisposeAsync().AsTask());
        try
        {
            for (var i = 0; ; i++)
            {
                var request = await worker.ReceiveAsync();
                mains.Saw(node, "has given a request to a worker");
                await PauseAsync(i % 20 == 0 ? 300 : 1);
                request.Reply(ZmtpMessage.Of("PONG"));
            }
        }
        catch (ChannelClosedException)
        {
            // It is over.
        }
    }

    // Each task of a client whose node lives has one result.
    private async Task AskTasksAsync(ChaosNode node)
    {
        for (var batch = 0; !_stop.IsCancellationRequested; batch++)
        {
            var epoch = node.Epoch;
            if (epoch % 2 == 0)
            {
                await PauseAsync(20);
                continue;
            }
            try
            {
                using var client = await LinePeer.ConnectAsync(node.Tasks);
                await client.SendAsync([.. Enumerable.Range(0, 10).Select(id => $"TASK|{id}|{batch}")]);
                var results = await client.ReadAsync(10);
                var right = Enumerable.Range(0, 10).Select(id => $"RESULT|{id}|<{batch}>").ToHashSet();
                if (!right.SetEquals(results.OfType<string>()) && node.Epoch == epoch)
                {
                    wrong($"node '{node.Name}' lives, and its tasks had: {string.Join(' ', results)}");
                }
                Interlocked.Add(ref _results, results.OfType<string>().Count());
            }
            catch (SocketException e)
            {
                if (node.Epoch == epoch)
                {
                    wrong($"node '{node.Name}' lives, and a client with tasks failed: {e.Message}");
                }
            }
            await PauseAsync(20);
        }
    }

    private async Task WorkOnTasksAsync(ChaosNode node)
    {
        while (!_answered.IsCancellationRequested)
        {
            try
            {
                using var worker = await LinePeer.ConnectAsync(node.TaskWorkers);
                await using var end = _answered.Token.Register(worker.Reset);
                await worker.SendAsync($"REGISTER|w{node.Name}|4");
                await worker.WorkAsync(data => $"<{data}>");
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Its node is gone.
            }
            await PauseAsync(50);
        }
    }

    private static Task PauseAsync(int milliseconds) => Task.Delay(TimeSpan.FromMilliseconds(milliseconds), TimeProvider.System);
}
