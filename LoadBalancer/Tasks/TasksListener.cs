using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Listeners;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>A listener with two ports: clients send tasks to one, and workers register at the other.</summary>
internal sealed partial class TasksListener : IListener
{
    private static readonly TimeSpan StopPoll = TimeSpan.FromMilliseconds(20);
    // After the stop, the last connections have this long to read what is on its way to them.
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2.5);

    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly string _serving;
    private readonly TaskDispatcher _dispatcher;
    private readonly ITaskQueue _queue;
    private readonly SessionSettings _clients;
    private readonly SessionSettings _workers;
    private readonly LogGate _rejected;
    private readonly Acceptor _clientAcceptor;
    private readonly Acceptor _workerAcceptor;
    private readonly ConcurrentDictionary<LineSession, Task> _sessions = new();
    private volatile TasksListenerOptions _options;
    private volatile bool _isStopping;
    private volatile bool _isLeaving;
    private volatile bool _mayGetWorkers = true;

    /// <summary>Creates the listener; its workers will be the backends of the pool, which no other listener may use.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="options">Its options, which must be valid.</param>
    /// <param name="pool">The pool that workers join.</param>
    /// <param name="sendTimeout">How long a peer may accept no byte of what is sent to it.</param>
    /// <param name="sockets">Binds its addresses.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Create its loggers.</param>
    public TasksListener(
        string name, TasksListenerOptions options, BackendPool pool, TimeSpan sendTimeout, ListenSockets sockets, TimeProvider time,
        ILoggerFactory loggers)
    {
        (Name, _options, _pool, _time, _logger) = (name, options, pool, time, loggers.CreateLogger<TasksListener>());
        _serving = $"listener '{name}': serving a connection";
        _rejected = new LogGate(time);
        _clients = NewSettings("client", options.MaxLineLength, sendTimeout);
        // A worker that returns what it was given must not be disconnected for that, and need not read while it works on a task.
        _workers = NewSettings(
            "worker", options.MaxLineLength + TaskLine.AnswerExcess,
            sendTimeout > options.TaskTimeout ? sendTimeout : options.TaskTimeout);
        _dispatcher = new TaskDispatcher(name, pool, options, time, _logger);
        _queue = options.Queue.Engine == TaskQueueEngine.Memory
            ? new MemoryTaskQueue(_dispatcher, () => _options.QueueLimit)
            : new RabbitTaskQueue(name, _dispatcher, () => _options, time, _logger);
        _clientAcceptor = new Acceptor(
            name, options.Address, options.MaxConnections,
            connection => Begin(new ClientSession(connection, _clients, _dispatcher, _queue, pool.Statistics)), sockets, time, loggers);
        _workerAcceptor = new Acceptor(
            name, options.WorkerAddress, null, connection => Begin(new WorkerSession(connection, _workers, _dispatcher)), sockets, time,
            loggers);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Address => _clientAcceptor.Address.ToString();

    /// <summary>The address at which workers register.</summary>
    public EndpointAddress WorkerAddress => _workerAcceptor.Address;

    /// <inheritdoc/>
    public int Connections => _clientAcceptor.Connections + _workerAcceptor.Connections;

    /// <inheritdoc/>
    public long Refused => _clientAcceptor.Refused;

    /// <summary>The bytes that wait in buffers for its peers, and of lines that are not complete.</summary>
    public long BufferedBytes => _clients.Buffers.Total + _workers.Buffers.Total;

    /// <summary>Its present counts.</summary>
    public TaskCounts Counts
    {
        get
        {
            lock (_dispatcher.Gate)
            {
                return new TaskCounts(
                    _pool.Name, _queue.Waiting, _dispatcher.Running, _dispatcher.Lost, _dispatcher.Failed, _dispatcher.Waits.Read(),
                    _dispatcher.Runs.Read());
            }
        }
    }

    /// <inheritdoc/>
    public void Apply(ListenerOptions options)
    {
        var tasks = (TasksListenerOptions)options;
        _options = tasks;
        _dispatcher.Apply(tasks);
        _clientAcceptor.MaxConnections = tasks.MaxConnections;
        (_clients.Buffers.Limit, _workers.Buffers.Limit) = (tasks.MaxBufferedBytes, tasks.MaxBufferedBytes);
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _pool.Backlog = () => _queue.Waiting; // Not before: another listener may have had the pool until now.
        _queue.Start();
        _workerAcceptor.Start();
        try
        {
            _clientAcceptor.Start();
        }
        catch
        {
            _workerAcceptor.Dispose();
            throw;
        }
        LogRegisterAt(Name, _workerAcceptor.Address.ToString());
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    /// <remarks>Workers are accepted as long as tasks wait here and none is there.</remarks>
    public void Leave()
    {
        _clientAcceptor.Dispose();
        _isLeaving = true;
        LeaveWorkers();
    }

    /// <summary>
    /// Accepts no more connections and no more tasks. Accepted tasks go on until the token is cancelled, as long as there are workers for
    /// them. Then tasks that are left get an error as their result, and all connections are closed. After <see cref="Leave"/> a client's
    /// connection is closed when it has its results, and a worker's when it has no task and none waits: they go on elsewhere.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _clientAcceptor.Dispose();
        lock (_dispatcher.Gate)
        {
            _isStopping = true;
            Clients.ForEach(client => (client.IsStopping, client.IsRestarting) = (true, _isLeaving));
        }
        while (HasWorkLeft() && !cancellationToken.IsCancellationRequested)
        {
            if (_isLeaving)
            {
                LetIdleGo();
            }
            await Task.Delay(StopPoll, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        _workerAcceptor.Dispose();
        lock (_dispatcher.Gate)
        {
            if (!_queue.IsDurable)
            {
                Clients.ForEach(client => client.AnswerAllNeedsLock("ERROR: the load balancer is stopping"u8));
            }
        }
        foreach (var session in _sessions.Keys)
        {
            session.End("the load balancer is stopping", isError: false);
        }
        Outbox.Flush();
        await _queue.DisposeAsync();
        await Task.WhenAll(_sessions.Values).WaitAsync(CloseTimeout, _time, CancellationToken.None)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _clientAcceptor.Dispose();
        _workerAcceptor.Dispose();
        foreach (var session in _sessions.Keys)
        {
            session.Break("the load balancer has stopped");
        }
        _dispatcher.Dispose();
    }

    private SessionSettings NewSettings(string role, int maxLineLength, TimeSpan sendTimeout) => new(
        maxLineLength, _options.FirstLineTimeout, sendTimeout, new BufferBudget(_options.MaxBufferedBytes, _time),
        (session, reason) =>
        {
            if (_rejected.TryPass())
            {
                LogRejected(Name, role, session.Remote.ToString(), reason);
            }
        },
        _time, _logger);

    private List<ClientSession> Clients => [.. _sessions.Keys.OfType<ClientSession>()];

    // Tasks that wait while there are no workers would wait for nothing.
    private bool HasWorkLeft()
    {
        lock (_dispatcher.Gate)
        {
            return Clients.Any(client => client.Unanswered > 0)
                && (_dispatcher.HasWorkers || _dispatcher.Running > 0 || _queue.IsDurable || _isLeaving && _mayGetWorkers);
        }
    }

    private void LeaveWorkers()
    {
        if (_mayGetWorkers && (_dispatcher.HasWorkers || _queue.Waiting == 0))
        {
            _mayGetWorkers = false;
            _workerAcceptor.Dispose();
        }
    }

    private void LetIdleGo()
    {
        const string Reason = "tasks go elsewhere from now on";
        LeaveWorkers();
        lock (_dispatcher.Gate)
        {
            Clients.Where(client => client.Unanswered == 0).ToList().ForEach(client => client.End(Reason, isError: false));
            if (_queue is { IsDurable: false, Waiting: 0 })
            {
                _dispatcher.LetIdleGoNeedsLock(Reason);
            }
        }
        Outbox.Flush();
    }

    private void Begin(LineSession session)
    {
        // Registered first, because the session may end at once.
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_dispatcher.Gate)
        {
            if (session is ClientSession client)
            {
                (client.IsStopping, client.IsRestarting) = (_isStopping, _isStopping && _isLeaving);
            }
            _sessions[session] = ended.Task; // under the gate, or StopAsync could miss a session that begins now
        }
        BackgroundTask.Run(ServeAsync(session, ended), _logger, _serving);
    }

    private async Task ServeAsync(LineSession session, TaskCompletionSource ended)
    {
        try
        {
            await session.RunAsync();
        }
        catch (Exception e)
        {
            LogFailed(e, Name, session.Remote.ToString());
        }
        _sessions.TryRemove(session, out _);
        ended.SetResult();
    }

    [LoggerMessage(122, LogLevel.Information, "listener '{Listener}': workers register at {Address}")]
    private partial void LogRegisterAt(string listener, string address);

    [LoggerMessage(130, LogLevel.Warning,
        "listener '{Listener}': the {Role} at {Remote} is disconnected: {Reason}; this is logged once in ten seconds at most")]
    private partial void LogRejected(string listener, string role, string remote, string reason);

    [LoggerMessage(123, LogLevel.Error,
        "listener '{Listener}': the connection from {Remote} has ended by an unexpected error; please report it")]
    private partial void LogFailed(Exception exception, string listener, string remote);
}
