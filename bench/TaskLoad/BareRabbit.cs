using RabbitMQ.Client;

namespace TaskLoad;

/// <summary>
/// RabbitMQ without a load balancer: each task is published to a durable quorum queue with confirmation, consumed by one of the workers,
/// answered to a reply queue, and acknowledged. As many tasks are outstanding as all clients would have.
/// </summary>
internal sealed class BareRabbit(Uri uri, Load load)
{
    /// <summary>Runs until every task has its reply.</summary>
    /// <returns>Tasks per second.</returns>
    public async Task<double> RunAsync()
    {
        var (queue, replies) = ($"bench.{Guid.NewGuid():N}", $"bench.replies.{Guid.NewGuid():N}");
        var factory = new ConnectionFactory { Uri = uri };
        await using var publishing = await factory.CreateConnectionAsync();
        await using var consuming = await factory.CreateConnectionAsync();
        var confirmed = new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: false);
        await using var tasks = await publishing.CreateChannelAsync(confirmed);
        await using var answers = await publishing.CreateChannelAsync(confirmed);
        await using var work = await consuming.CreateChannelAsync();
        await using var results = await consuming.CreateChannelAsync();
        var quorum = new Dictionary<string, object?> { ["x-queue-type"] = "quorum" };
        await work.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, quorum);
        await work.QueueDeclareAsync(replies, durable: true, exclusive: false, autoDelete: true);
        using var slots = new SemaphoreSlim(load.Clients * load.Outstanding);
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var properties = new BasicProperties { DeliveryMode = DeliveryModes.Persistent, CorrelationId = "1", ReplyTo = replies };
        var answered = 0;
        for (var i = 0; i < load.Workers; i++)
        {
            await work.BasicQosAsync(0, (ushort)load.Capacity, global: false);
            await work.BasicConsumeAsync(queue, autoAck: false, new Consumer(work, async delivery =>
            {
                await answers.BasicPublishAsync("", replies, false, properties, new byte[2]);
                await work.BasicAckAsync(delivery, multiple: false);
            }));
        }
        await results.BasicQosAsync(0, 1000, global: false);
        await results.BasicConsumeAsync(replies, autoAck: false, new Consumer(results, async delivery =>
        {
            await results.BasicAckAsync(delivery, multiple: false);
            slots.Release();
            if (++answered == load.Tasks)
            {
                done.SetResult();
            }
        }));
        var started = TimeProvider.System.GetTimestamp();
        for (var i = 0; i < load.Tasks; i++)
        {
            await slots.WaitAsync();
            await tasks.BasicPublishAsync("", queue, false, properties, new byte[load.Size]);
        }
        await done.Task;
        var elapsed = TimeProvider.System.GetElapsedTime(started);
        await work.QueueDeleteAsync(queue);
        return load.Tasks / elapsed.TotalSeconds;
    }

    private sealed class Consumer(IChannel channel, Func<ulong, Task> onMessage) : AsyncDefaultBasicConsumer(channel)
    {
        public override Task HandleBasicDeliverAsync(
            string consumerTag,
            ulong deliveryTag,
            bool redelivered,
            string exchange,
            string routingKey,
            IReadOnlyBasicProperties properties,
            ReadOnlyMemory<byte> body,
            CancellationToken cancellationToken = default) => onMessage(deliveryTag);
    }
}
