using System.Collections.Concurrent;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tasks;

/// <summary>
/// Two nodes that share a queue in RabbitMQ, while everything dies that can: workers at random, clients without a word, RabbitMQ twice,
/// one of the nodes. Every task of a client that survives has one result.
/// </summary>
internal sealed class TasksChaosTests
{
    private const int Clients = 10;
    private const int TasksEach = 900;

    private RabbitServer _server = null!;

    [OneTimeSetUp]
    public async Task StartServer() => _server = await RabbitServer.GetAsync();

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task EveryTask_OfASurvivingClient_HasOneResult()
    {
        var queue = $"chaos.{Guid.NewGuid():N}";
        await using var one = await StartAsync(queue);
        await using var two = await StartAsync(queue);
        using var over = new CancellationTokenSource(TimeLimits.Test);
        var cancellationToken = over.Token;
        var workers = Enumerable.Range(0, 10).Select(i => WorkAsync(i % 2 == 0 ? one : two, i, over.Token)).ToList();
        var answered = 0;

        var surviving = Enumerable.Range(0, Clients).Select(i => AskAsync(i)).ToList();
        var vanishing = Enumerable.Range(0, 4).Select(i => VanishAsync(i % 2 == 0 ? one : two)).ToList();
        await ReachAsync(2000);
        await _server.StopAsync();
        await _server.StartAsync();
        await ReachAsync(4000);
        await two.Program.KillAsync();
        await ReachAsync(6000);
        await _server.StopAsync();
        await _server.StartAsync();
        await Task.WhenAll(surviving).WaitAsync(cancellationToken);
        await Task.WhenAll(vanishing);

        answered.Should().Be(Clients * TasksEach);
        await over.CancelAsync();
        await Task.WhenAll(workers);
        one.Program.Output.Should().NotContain(line => line.Contains(" error ", StringComparison.Ordinal));

        // RabbitMQ takes seconds to start, and many on a machine that has much else to do.
        async Task ReachAsync(int count)
        {
            while (Volatile.Read(ref answered) < count)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, cancellationToken);
            }
        }

        async Task AskAsync(int number)
        {
            using var client = await LinePeer.ConnectAsync(one.ClientPort);
            var results = new ConcurrentDictionary<string, string>();
            var reading = Task.Run(
                async () =>
                {
                    for (var i = 0; i < TasksEach; i++)
                    {
                        var parts = (await client.ReadAsync())!.Split('|', 3);
                        parts[0].Should().Be("RESULT");
                        results.TryAdd(parts[1], parts[2]).Should().BeTrue("there is one result for each task");
                        Interlocked.Increment(ref answered);
                    }
                },
                cancellationToken);
            for (var i = 0; i < TasksEach; i += 50)
            {
                await client.SendAsync([.. Enumerable.Range(i, 50).Select(id => $"TASK|{id}|{number}.{id}")]);
                while (i - results.Count > 200 && !reading.IsCompleted)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System, cancellationToken);
                }
            }
            await reading;
            results.Should().BeEquivalentTo(Enumerable.Range(0, TasksEach).ToDictionary(id => $"{id}", id => $"<{number}.{id}>"));
        }
    }

    private static async Task VanishAsync(NodeProgram node)
    {
        using var client = await LinePeer.ConnectAsync(node.ClientPort);
        await client.SendAsync([.. Enumerable.Range(0, 250).Select(id => $"TASK|{id}|gone.{id}")]);
        await client.ReadAsync(20);
        client.Reset();
    }

    // A worker that dies again and again, in the middle of its work.
    private static async Task WorkAsync(NodeProgram node, int seed, CancellationToken cancellationToken)
    {
        var random = new Random(seed);
        for (var life = 0; !cancellationToken.IsCancellationRequested; life++)
        {
            try
            {
                using var worker = await LinePeer.ConnectAsync(node.WorkerPort);
                await using var end = cancellationToken.Register(worker.Reset);
                await worker.SendAsync($"REGISTER|w{seed}|{random.Next(1, 9)}");
                var left = random.Next(20, 600);
                await worker.WorkAsync(data => --left > 0 ? $"<{data}>" : throw new IOException("it dies"));
            }
            catch (Exception e) when (e is System.Net.Sockets.SocketException or ObjectDisposedException)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, CancellationToken.None); // Its node is gone.
            }
        }
    }

    private async Task<NodeProgram> StartAsync(string queue) => await NodeProgram.StartAsync(_server, queue, """ "MaxAttempts": 1000, """);
}

/// <summary>A node as a process of its own, whose tasks wait in RabbitMQ.</summary>
internal sealed record NodeProgram(ProgramUnderTest Program, string File, int ClientPort, int WorkerPort) : IAsyncDisposable
{
    /// <summary>Starts a node.</summary>
    public static async Task<NodeProgram> StartAsync(RabbitServer server, string queue, string settings = "")
    {
        var (clients, workers) = (ReservedPorts.Next(), ReservedPorts.Next());
        var file = Path.GetTempFileName();
        await System.IO.File.WriteAllTextAsync(file, $$"""
            { "LoadBalancer": {
                "Listeners": { "tasks": { {{settings}} "Protocol": "Tasks",
                  "Address": "tcp://127.0.0.1:{{clients}}", "WorkerAddress": "tcp://127.0.0.1:{{workers}}", "Pool": "tasks",
                    "Queue": { "Engine": "RabbitMq", "Uri": "{{server.Uri}}", "Name": "{{queue}}" } } },
                "Pools": { "tasks": { } } } }
            """);
        var program = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", file);
        return new NodeProgram(program, file, clients, workers);
    }

    public async ValueTask DisposeAsync()
    {
        await Program.DisposeAsync();
        System.IO.File.Delete(File);
    }
}
