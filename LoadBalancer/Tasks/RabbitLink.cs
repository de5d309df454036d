using System.Net.Sockets;
using System.Threading.Channels;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace LoadBalancer.Tasks;

/// <summary>
/// The connections to a RabbitMQ server, for as long as they last: one to publish and one to consume, because a server that is short of
/// memory or disk stops reading from publishers, and acknowledgements must go through even then. Callers put what is to be sent into a
/// queue, and do not wait. When anything fails the whole link is lost, and another one is opened.
/// </summary>
internal sealed class RabbitLink : IAsyncDisposable
{
    private const ushort RepliesAtOnce = 1000;

    // The server keeps the results for a node that is not connected for this long.
    private static readonly TimeSpan ReplyExpiry = TimeSpan.FromHours(1);
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2);

    // The server sends something at least every half of it.
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan HeartbeatCheck = TimeSpan.FromSeconds(1);

    // A server that is short of memory stops reading for a while; one that has just started may not have elected a queue's leader yet.
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    private readonly TaskQueueOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _lost = new();
    private readonly Channel<Func<IChannel, ValueTask>> _toPublish = NewQueue();
    private readonly Channel<Func<IChannel, ValueTask>> _toConsume = NewQueue();
    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, Action> _unconfirmed = [];
    private readonly Dictionary<Worker, string> _consumers = []; // the consumer tag of each worker's consumer
    private readonly List<RabbitSocket> _sockets = [];
    private ITimer? _watch;
    private ulong _published;
    private ulong _confirmed; // all up to this number are confirmed
    private IConnection? _publishing;
    private IConnection? _consuming;
    private IChannel? _replies;

    private RabbitLink(TaskQueueOptions options, TimeProvider time, ILogger logger) => (_options, _time, _logger) = (options, time, logger);

    /// <summary>The name of the queue for tasks that no worker has finished.</summary>
    public static string DeadLetters(string queue) => queue + ".dead";

    /// <summary>Cancelled once the link is lost.</summary>
    public CancellationToken Lost => _lost.Token;

    /// <summary>Why it is lost; empty while it is not.</summary>
    public string LostBecause { get; private set; } = "";

    /// <summary>Connects, and declares the queues.</summary>
    /// <param name="options">The server, and the name of the queue.</param>
    /// <param name="replies">The queue for the results of this node.</param>
    /// <param name="onReply">Called with each result and its correlation id.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what fails unexpectedly.</param>
    /// <param name="cancellationToken">Cancels the attempt.</param>
    /// <exception cref="Exception">It failed; see <see cref="IsServerFault"/>.</exception>
    public static async Task<RabbitLink> OpenAsync(
        TaskQueueOptions options, string replies, Action<string, ReadOnlyMemory<byte>> onReply, TimeProvider time, ILogger logger,
        CancellationToken cancellationToken)
    {
        var link = new RabbitLink(options, time, logger);
        try
        {
            await link.ConnectAsync(replies, onReply, cancellationToken);
            return link;
        }
        catch
        {
            await link.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// Whether an exception means that the server cannot be reached or has refused something, rather than a bug of this program.
    /// </summary>
    public static bool IsServerFault(Exception e) =>
        e is RabbitMQClientException or IOException or SocketException or TimeoutException or OperationCanceledException
            or ObjectDisposedException;

    /// <summary>Publishes a message that survives the server's restart.</summary>
    /// <param name="queue">The name of the queue.</param>
    /// <param name="properties">Its properties.</param>
    /// <param name="body">The message.</param>
    /// <param name="confirmed">Called when the server has stored it; never, if the link is lost before that.</param>
    public void Publish(string queue, BasicProperties properties, ReadOnlyMemory<byte> body, Action confirmed)
    {
        properties.DeliveryMode = DeliveryModes.Persistent;
        _toPublish.Writer.TryWrite(channel =>
        {
            lock (_gate)
            {
                _unconfirmed[++_published] = confirmed;
            }
            return channel.BasicPublishAsync("", queue, mandatory: false, properties, body, _lost.Token);
        });
    }

    /// <summary>Tells the server that a task is done and can be deleted.</summary>
    public void Acknowledge(ulong delivery) =>
        _toConsume.Writer.TryWrite(channel => channel.BasicAckAsync(delivery, multiple: false, _lost.Token));

    /// <summary>Gives a task back to the queue, or moves it to the dead letters.</summary>
    public void Reject(ulong delivery, bool requeue) =>
        _toConsume.Writer.TryWrite(channel => channel.BasicRejectAsync(delivery, requeue, _lost.Token));

    /// <summary>
    /// Fetches as many tasks at once as these workers take together: each worker has its own consumer, whose prefetch is its capacity.
    /// </summary>
    /// <param name="workers">Returns the present workers.</param>
    /// <param name="onTask">Called with each task: its delivery tag, its properties, and its body, which is valid only during the
    /// call.</param>
    public void FetchFor(Func<IReadOnlyCollection<Worker>> workers, Action<ulong, IReadOnlyBasicProperties, ReadOnlyMemory<byte>> onTask) =>
        _toConsume.Writer.TryWrite(async channel =>
    {
        var wanted = workers();
        foreach (var (gone, tag) in _consumers.Where(entry => !wanted.Contains(entry.Key)).ToList())
        {
            _consumers.Remove(gone);
            await channel.BasicCancelAsync(tag, noWait: false, _lost.Token);
        }
        foreach (var worker in wanted.Where(worker => !_consumers.ContainsKey(worker)))
        {
            await channel.BasicQosAsync(0, (ushort)worker.Capacity, global: false, _lost.Token); // for the consumers that follow
            _consumers[worker] =
                await channel.BasicConsumeAsync(_options.Name, autoAck: false, new Consumer(channel, this, onTask), _lost.Token);
        }
    });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Lose("it was closed");
        if (_watch is not null)
        {
            await _watch.DisposeAsync();
        }
        await Task.WhenAll(CloseAsync(_publishing), CloseAsync(_consuming));
        _sockets.ForEach(socket => socket.Dispose());
    }

    private static async Task CloseAsync(IConnection? connection)
    {
        if (connection is not null)
        {
            try
            {
                await connection.CloseAsync(Constants.ReplySuccess, "closed", CloseTimeout, abort: true);
                await connection.DisposeAsync();
            }
            catch (Exception e) when (IsServerFault(e))
            {
                // It is closed all the same.
            }
        }
    }

    private static Channel<Func<IChannel, ValueTask>> NewQueue() =>
        Channel.CreateUnbounded<Func<IChannel, ValueTask>>(new UnboundedChannelOptions { SingleReader = true });

    private async Task ConnectAsync(string replies, Action<string, ReadOnlyMemory<byte>> onReply, CancellationToken cancellationToken)
    {
        var factory = new ConnectionFactory
        {
            Uri = new Uri(_options.Uri),
            ClientProvidedName = $"loadbalancer {_options.Name}",
            AutomaticRecoveryEnabled = false, // A lost link is opened again, and what was not confirmed is published again.
            TopologyRecoveryEnabled = false,
            RequestedHeartbeat = Heartbeat,
            RequestedConnectionTimeout = TimeSpan.FromSeconds(10),
            SocketFactory = NewSocket,
            ContinuationTimeout = TimeSpan.FromSeconds(10),
        };
        _publishing = await OpenAsync(factory, cancellationToken);
        _consuming = await OpenAsync(factory, cancellationToken);
        var publishing = await _publishing.CreateChannelAsync(
            new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: false), cancellationToken);
        publishing.BasicAcksAsync += (_, e) => Confirm(e.DeliveryTag, e.Multiple);
        publishing.BasicNacksAsync += (_, _) => Lose("the queue has refused a task");
        var consuming = await _consuming.CreateChannelAsync(null, cancellationToken);
        _replies = await _consuming.CreateChannelAsync(null, cancellationToken);
        foreach (var channel in new[] { publishing, consuming, _replies })
        {
            channel.ChannelShutdownAsync += (_, e) => Lose(e.ReplyText);
            channel.CallbackExceptionAsync += (_, e) => Lose(e.Exception.Message);
        }
        await DeclareAsync(consuming, cancellationToken);
        var expiry = new Dictionary<string, object?> { ["x-expires"] = (int)ReplyExpiry.TotalMilliseconds };
        await consuming.QueueDeclareAsync(
            replies, durable: true, exclusive: false, autoDelete: false, expiry, cancellationToken: cancellationToken);
        await _replies.BasicQosAsync(0, RepliesAtOnce, global: false, cancellationToken);
        await _replies.BasicConsumeAsync(replies, autoAck: false, new Consumer(_replies, this, (delivery, properties, body) =>
        {
            onReply(properties.CorrelationId ?? "", body);
            _toConsume.Writer.TryWrite(_ => _replies.BasicAckAsync(delivery, multiple: false, _lost.Token));
        }), cancellationToken);
        _watch = _time.CreateTimer(_ => WatchForSilence(), null, HeartbeatCheck, HeartbeatCheck);
        BackgroundTask.Run(PumpAsync(_toPublish.Reader, publishing), _logger, $"publishing to queue '{_options.Name}'");
        BackgroundTask.Run(PumpAsync(_toConsume.Reader, consuming), _logger, $"consuming from queue '{_options.Name}'");
    }

    private async Task<IConnection> OpenAsync(ConnectionFactory factory, CancellationToken cancellationToken)
    {
        var connection = await factory.CreateConnectionAsync(cancellationToken);
        connection.ConnectionShutdownAsync += (_, e) => Lose(e.ReplyText);
        return connection;
    }

    private RabbitSocket NewSocket(AddressFamily family)
    {
        var socket = new RabbitSocket(new Socket(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true }, _time);
        lock (_gate)
        {
            _sockets.RemoveAll(other => !other.Connected); // another address of the same server
            _sockets.Add(socket);
        }
        return socket;
    }

    private void WatchForSilence()
    {
        lock (_gate)
        {
            if (!_sockets.Exists(socket => socket.Silence >= Heartbeat))
            {
                return;
            }
        }
        // Cancels what waits for the server, and therefore not under the lock.
        var reason = $"nothing was received for {Heartbeat.TotalSeconds} s, not even a heartbeat";
        BackgroundTask.Run(Lose(reason), _logger, $"queue '{_options.Name}': giving up a silent link");
    }

    private async Task DeclareAsync(IChannel channel, CancellationToken cancellationToken)
    {
        var dead = DeadLetters(_options.Name);
        var quorum = new Dictionary<string, object?> { ["x-queue-type"] = "quorum" };
        await channel.QueueDeclareAsync(
            dead, durable: true, exclusive: false, autoDelete: false, quorum, cancellationToken: cancellationToken);
        var arguments = new Dictionary<string, object?>(quorum) { ["x-dead-letter-exchange"] = "", ["x-dead-letter-routing-key"] = dead };
        await channel.QueueDeclareAsync(
            _options.Name, durable: true, exclusive: false, autoDelete: false, arguments, cancellationToken: cancellationToken);
    }

    private async Task PumpAsync(ChannelReader<Func<IChannel, ValueTask>> queue, IChannel channel)
    {
        try
        {
            await foreach (var send in queue.ReadAllAsync(_lost.Token))
            {
                var sending = send(channel);
                if (!sending.IsCompletedSuccessfully)
                {
                    await sending.AsTask().WaitAsync(AnswerTimeout, _time);
                }
            }
        }
        catch (Exception e) // of any kind: another link may work
        {
            await Lose(e.Message);
        }
    }

    // The server confirms one message, or all up to one, not always in order.
    private Task Confirm(ulong number, bool multiple)
    {
        var confirmed = new List<Action>();
        lock (_gate)
        {
            for (var i = multiple ? _confirmed + 1 : number; i <= number; i++)
            {
                if (_unconfirmed.Remove(i, out var action))
                {
                    confirmed.Add(action);
                }
            }
            _confirmed = multiple ? number : _confirmed;
        }
        confirmed.ForEach(action => action());
        return Task.CompletedTask;
    }

    private Task Lose(string reason)
    {
        lock (_gate)
        {
            if (LostBecause.Length > 0)
            {
                return Task.CompletedTask;
            }
            LostBecause = reason;
        }
        return _lost.CancelAsync();
    }

    private sealed class Consumer(IChannel channel, RabbitLink link,
        Action<ulong, IReadOnlyBasicProperties, ReadOnlyMemory<byte>> onMessage) : AsyncDefaultBasicConsumer(channel)
    {
        public override Task HandleBasicDeliverAsync(
            string consumerTag, ulong deliveryTag, bool redelivered, string exchange, string routingKey,
                IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body, CancellationToken cancellationToken = default)
        {
            onMessage(deliveryTag, properties, body);
            return Task.CompletedTask;
        }

        public override Task HandleBasicCancelAsync(string consumerTag, CancellationToken cancellationToken = default) =>
            link.Lose("the queue was deleted");
    }
}
