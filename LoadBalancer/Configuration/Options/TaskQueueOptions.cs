namespace LoadBalancer.Configuration.Options;

/// <summary>What keeps the tasks that wait.</summary>
public enum TaskQueueEngine
{
    /// <summary>This process: they are lost when it ends.</summary>
    Memory,

    /// <summary>A RabbitMQ server: they survive this process, and other nodes share them.</summary>
    RabbitMq,
}

/// <summary>Where tasks wait for a worker.</summary>
public sealed record TaskQueueOptions
{
    /// <summary>What keeps them. Default Memory.</summary>
    public TaskQueueEngine Engine { get; init; } = TaskQueueEngine.Memory;

    /// <summary>
    /// Where the RabbitMQ server is: <c>amqp://user:password@host:port</c>. Default that of a server newly installed on this machine.
    /// </summary>
    public string Uri { get; init; } = "amqp://guest:guest@127.0.0.1:5672";

    /// <summary>The queue's name, the same for all nodes that share it. Default loadbalancer.tasks.</summary>
    public string Name { get; init; } = "loadbalancer.tasks";

    /// <inheritdoc/>
    public override string ToString() => $"{Engine}, {Name}"; // never the password
}
