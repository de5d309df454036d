using System.Globalization;
using LoadBalancer.Configuration.Options;
using RabbitMQ.Client;

namespace LoadBalancer.Tasks;

/// <summary>
/// Tasks wait in a queue of a RabbitMQ server that other nodes share, and leave it when their results have been delivered: a node that
/// dies loses no task. Each node fetches as many tasks as its workers take at once. A result goes back to the node that accepted the
/// task, directly if that is this node. What may have been lost with a connection is published, or done, once more; the client gets the
/// first result, and further ones are dropped.
/// </summary>
internal sealed partial class RabbitTaskQueue : ITaskQueue
{
    private const string AttemptsHeader = "attempts"; // how often the task was assigned by nodes that then lost all their workers

    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly string _listener;
    private readonly TaskQueueOptions _options;
    private readonly TaskDispatcher _dispatcher;
    private readonly Func<TasksListenerOptions> _listenerOptions;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly string _server;
    private readonly string _replies;
    private readonly CancellationTokenSource _stopping = new();

    // Guarded by the dispatcher's gate.
    private readonly Dictionary<long, ClientTask> _unanswered = [];
    private readonly SortedDictionary<long, ClientTask> _unconfirmed = []; // which the server may not have stored
    private RabbitLink? _link;
    private long _lastNumber;
    private Task _running = Task.CompletedTask;

    /// <summary>Creates the queue; it connects when it is started.</summary>
    public RabbitTaskQueue(
        string listener, TaskDispatcher dispatcher, Func<TasksListenerOptions> options, TimeProvider time, ILogger logger)
    {
        (_listener, _dispatcher, _listenerOptions, _options, _time, _logger) =
            (listener, dispatcher, options, options().Queue, time, logger);
        var uri = new Uri(_options.Uri);
        _server = uri.IsDefaultPort ? uri.Host : uri.Authority; // without its user and password
        _replies = $"{_options.Name}.replies.{Guid.NewGuid():N}";
        dispatcher.WorkersChanged += OnWorkersChanged;
    }

    /// <inheritdoc/>
    public int Waiting => Math.Max(_dispatcher.Waiting, _unanswered.Count - _dispatcher.Running);

    /// <inheritdoc/>
    public bool IsDurable => true;

    /// <inheritdoc/>
    public void Start() => _running = RunAsync();

    /// <inheritdoc/>
    public bool TryAddNeedsLock(ClientTask task)
    {
        // A task that the server may not have stored is kept here, even if its client has disconnected.
        if (Math.Max(_unanswered.Count - _dispatcher.Running, _unconfirmed.Count) >= _listenerOptions().QueueLimit)
        {
            return false;
        }
        task.Number = ++_lastNumber;
        task.AcceptedAt = _time.GetTimestamp();
        _unanswered.Add(task.Number, task);
        _unconfirmed.Add(task.Number, task);
        PublishNeedsLock(task);
        return true;
    }

    /// <summary>The client has disconnected. The task is in the queue, or will be, and is done all the same.</summary>
    public void AbandonNeedsLock(ClientTask task) => _unanswered.Remove(task.Number);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _dispatcher.WorkersChanged -= OnWorkersChanged;
        await _stopping.CancelAsync();
        await _running;
        _stopping.Dispose();
    }

    // While the server is there: publish what it may not have stored, fetch tasks, deliver results. While it is not: try again; tasks wait.
    private async Task RunAsync()
    {
        await Task.Yield();
        var pause = ShortestPause;
        var isLogged = false;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await using var link = await RabbitLink.OpenAsync(_options, _replies, OnReply, _time, _logger, _stopping.Token);
                LogConnected(_listener, _options.Name, _server);
                (pause, isLogged) = (ShortestPause, false);
                Begin(link);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(link.Lost, _stopping.Token);
                await Task.Delay(Timeout.InfiniteTimeSpan, _time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                End(link);
                Report(link.LostBecause); // Before it is closed, which takes seconds if the server is silent.
            }
            catch (Exception e) // of any kind: it is logged, and another attempt may work
            {
                Report((e.InnerException ?? e).Message);
            }
            if (!_stopping.IsCancellationRequested)
            {
                await Task.Delay(pause, _time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }

        void Report(string reason)
        {
            if (!isLogged && !_stopping.IsCancellationRequested)
            {
                LogUnreachable(_listener, _options.Name, _server, reason);
                isLogged = true;
            }
        }
    }

    private void Begin(RabbitLink link)
    {
        lock (_dispatcher.Gate)
        {
            _link = link;
            foreach (var task in _unconfirmed.Values)
            {
                PublishNeedsLock(task);
            }
        }
        Fetch(link);
    }

    // The server will deliver again what waits here, to any node. Tasks that workers have go on: a result counts if it is the first one.
    private void End(RabbitLink link)
    {
        lock (_dispatcher.Gate)
        {
            _link = null;
            foreach (var task in _dispatcher.TakeWaitingNeedsLock().Cast<FetchedTask>().Where(task => task.Link != link))
            {
                _dispatcher.TryAddNeedsLock(task);
            }
        }
        Outbox.Flush();
    }

    private void PublishNeedsLock(ClientTask task)
    {
        var number = task.Number;
        _link?.Publish(_options.Name, NewProperties(number, task.ClientHash, _replies), Body(task), () =>
        {
            lock (_dispatcher.Gate)
            {
                _unconfirmed.Remove(number);
            }
        });
    }

    private void Fetch(RabbitLink link) => link.FetchFor(
        () =>
        {
            lock (_dispatcher.Gate)
            {
                return _dispatcher.EligibleWorkersNeedsLock().ToHashSet();
            }
        },
        (delivery, properties, body) => OnTask(link, delivery, properties, body));

    private void OnWorkersChanged()
    {
        lock (_dispatcher.Gate)
        {
            if (_link is { } link)
            {
                Fetch(link);
                if (!_dispatcher.HasWorkers)
                {
                    GiveBackAllNeedsLock();
                }
            }
        }
    }

    // No worker is left here; other nodes may have some.
    private void GiveBackAllNeedsLock()
    {
        foreach (var task in _dispatcher.TakeWaitingNeedsLock().Cast<FetchedTask>())
        {
            if (task.Attempts == task.AttemptsElsewhere)
            {
                task.Link.Reject(task.Delivery, requeue: true);
                continue;
            }
            var properties = NewProperties(task.Number, task.ClientHash, task.ReplyTo);
            properties.Headers = new Dictionary<string, object?> { [AttemptsHeader] = task.Attempts };
            task.Link.Publish(_options.Name, properties, Body(task), () => task.Link.Acknowledge(task.Delivery));
        }
    }

    private void OnTask(RabbitLink link, ulong delivery, IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body)
    {
        var line = body.Span;
        var end = line.IndexOf((byte)'|');
        if (end <= 0 || line.Contains((byte)'\n')
            || !TryReadCorrelation(properties.CorrelationId, out var number, out var clientHash))
        {
            link.Reject(delivery, requeue: false); // Not published by a node of ours.
            LogNoTask(_listener, _options.Name);
            return;
        }
        var attempts = properties.Headers?.TryGetValue(AttemptsHeader, out var header) == true && header is int count ? count : 0;
        var task = new FetchedTask(this, link, delivery, number, properties.ReplyTo ?? "", attempts, line[..end], line[(end + 1)..],
            clientHash)
        { Attempts = attempts };
        lock (_dispatcher.Gate)
        {
            if (task.ReplyTo == _replies && _unanswered.GetValueOrDefault(number) is { } ours)
            {
                task.AcceptedAt = ours.AcceptedAt;
            }
            _dispatcher.TryAddNeedsLock(task);
            if (!_dispatcher.HasWorkers)
            {
                GiveBackAllNeedsLock();
            }
        }
        Outbox.Flush();
    }

    private void OnReply(string correlation, ReadOnlyMemory<byte> result)
    {
        if (TryReadCorrelation(correlation, out var number, out _))
        {
            lock (_dispatcher.Gate)
            {
                AnswerNeedsLock(number, result.Span);
            }
            Outbox.Flush();
        }
    }

    // The first of several results counts.
    private void AnswerNeedsLock(long number, ReadOnlySpan<byte> result)
    {
        if (_unanswered.Remove(number, out var task))
        {
            task.FinishNeedsLock(result);
        }
    }

    private void CompleteNeedsLock(FetchedTask task, ReadOnlySpan<byte> result, bool isFailure)
    {
        void Acknowledge()
        {
            if (isFailure)
            {
                task.Link.Reject(task.Delivery, requeue: false);
            }
            else
            {
                task.Link.Acknowledge(task.Delivery);
            }
        }
        if (task.ReplyTo == _replies)
        {
            AnswerNeedsLock(task.Number, result);
            Acknowledge();
        }
        else if (task.ReplyTo.Length == 0)
        {
            Acknowledge(); // No result is expected.
        }
        else
        {
            task.Link.Publish(task.ReplyTo, NewProperties(task.Number, 0, null), result.ToArray(), Acknowledge);
        }
    }

    private static byte[] Body(TaskItem task) => [.. task.Id, (byte)'|', .. task.Data];

    private static BasicProperties NewProperties(long number, ulong clientHash, string? replyTo) =>
        new() { CorrelationId = string.Create(CultureInfo.InvariantCulture, $"{number}.{clientHash:x}"), ReplyTo = replyTo };

    private static bool TryReadCorrelation(string? text, out long number, out ulong clientHash)
    {
        (number, clientHash) = (0, 0);
        var dot = text?.IndexOf('.', StringComparison.Ordinal) ?? -1;
        return dot > 0
            && long.TryParse(text.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out number)
            && ulong.TryParse(text.AsSpan(dot + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out clientHash);
    }

    [LoggerMessage(124, LogLevel.Information, "listener '{Listener}': queue '{Queue}' at {Server} is at hand")]
    private partial void LogConnected(string listener, string queue, string server);

    [LoggerMessage(125, LogLevel.Warning,
        "listener '{Listener}': queue '{Queue}' at {Server} is out of reach; tasks wait, and it is tried again: {Reason}")]
    private partial void LogUnreachable(string listener, string queue, string server, string reason);

    [LoggerMessage(126, LogLevel.Warning, "listener '{Listener}': a message in queue '{Queue}' is no task, and goes to the dead letters")]
    private partial void LogNoTask(string listener, string queue);

    /// <summary>A task that was fetched from the queue; the server keeps it until it is acknowledged.</summary>
    private sealed class FetchedTask(
        RabbitTaskQueue queue, RabbitLink link, ulong delivery, long number, string replyTo, int attempts, ReadOnlySpan<byte> id,
            ReadOnlySpan<byte> data, ulong clientHash) : TaskItem(id, data, clientHash)
    {
        public RabbitLink Link => link;

        public ulong Delivery => delivery;

        public long Number => number;

        public string ReplyTo => replyTo;

        public int AttemptsElsewhere => attempts;

        public override void FinishNeedsLock(ReadOnlySpan<byte> result, bool isFailure = false) =>
            queue.CompleteNeedsLock(this, result, isFailure);
    }
}
