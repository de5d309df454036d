using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using RabbitMQ.Client;

namespace LoadBalancer.Tests.Tasks;

/// <summary>Listeners of tasks whose queue is in a real RabbitMQ server.</summary>
internal sealed class RabbitTaskQueueTests
{
    private RabbitServer _server = null!;
    private string _queue = "";

    [OneTimeSetUp]
    public async Task StartServer() => _server = await RabbitServer.GetAsync();

    [SetUp]
    public void NameQueue() => _queue = $"tests.{Guid.NewGuid():N}";

    [Test]
    public async Task Task_OneNode_IsWorkedOnAndForgotten()
    {
        await using var node = await StartAsync();
        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1|2", "TASK|b|", "TASK|a|3");
        using var worker = await node.RegisterAsync("w", 2);
        _ = worker.WorkAsync(data => $"<{data}>");

        (await client.ReadAsync(3)).Should().BeEquivalentTo("ERROR|duplicate task id: a", "RESULT|a|<1|2>", "RESULT|b|<>");
        await Eventually.BeTrueAsync(async () => await CountAsync(_queue) == 0, "the queue is empty");
    }

    // Only \n ends a line, here as with the engine in memory.
    [Test]
    public async Task Task_CarriageReturnInIt_HasItsResultLikeOthers()
    {
        await using var node = await StartAsync();
        using var client = await RawPeer.ConnectAsync(node.ClientPort);
        using var worker = await RawPeer.ConnectAsync(node.WorkerPort);
        await worker.SendAsync("REGISTER|w\n");
        await worker.ReadUntilAsync("\n");

        await client.SendAsync("TASK|a\rb|c\rd\n");

        (await worker.ReadUntilAsync("\n").WaitAsync(TimeLimits.Event)).Should().Be("ASSIGN_TASK|a\rb|c\rd\n");
        await worker.SendAsync("TASK_RESULT|a\rb|e\rf\n");
        (await client.ReadUntilAsync("\n").WaitAsync(TimeLimits.Event)).Should().Be("RESULT|a\rb|e\rf\n");
    }

    [Test]
    public async Task Task_WorkerAtAnotherNode_ItsResultComesBack()
    {
        await using var one = await StartAsync();
        await using var two = await StartAsync();
        using var client = await one.ConnectAsync();
        client.EndSending();
        using var other = await one.ConnectAsync();
        using var worker = await two.RegisterAsync("w", 10);
        _ = worker.WorkAsync(data => data + data);

        await other.SendAsync([.. Enumerable.Range(0, 200).Select(i => $"TASK|{i}|{i}")]);

        (await other.ReadAsync(200)).Should().BeEquivalentTo(Enumerable.Range(0, 200).Select(i => $"RESULT|{i}|{i}{i}"));
    }

    [Test]
    public async Task Worker_LeavesANodeWithoutOthers_ItsTaskIsWorkedOnElsewhere()
    {
        await using var one = await StartAsync();
        await using var two = await StartAsync();
        using var client = await one.ConnectAsync();
        using var lost = await one.RegisterAsync("lost", 3);
        await client.SendAsync("TASK|a|1", "TASK|b|2");
        await lost.ReadAsync(2);

        lost.Reset();
        using var worker = await two.RegisterAsync("w", 3);
        _ = worker.WorkAsync(data => data);

        (await client.ReadAsync(2)).Should().BeEquivalentTo("RESULT|a|1", "RESULT|b|2");
    }

    [Test]
    public async Task Worker_LostAsOftenAsMayBe_TheTaskIsAmongTheDeadLetters()
    {
        await using var node = await StartAsync(listener => listener with { MaxAttempts = 2 });
        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|poison|1");

        for (var i = 0; i < 2; i++)
        {
            using var worker = await node.RegisterAsync($"w{i}");
            (await worker.ReadTaskAsync()).Should().Be("poison");
            worker.Reset();
        }

        (await client.ReadAsync()).Should()
            .Be("RESULT|poison|ERROR: no worker has finished the task in 2 attempts; the last worker is gone");
        await Eventually.BeTrueAsync(async () => await CountAsync(_queue + ".dead") == 1, "it is kept for people to look at");
    }

    [Test]
    public async Task Message_ThatIsNoTask_GoesToTheDeadLettersAndHarmsNobody()
    {
        await using var node = await StartAsync();
        await Eventually.BeTrueAsync(
            () => node.Log.Lines.Any(line => line.Contains("is at hand", StringComparison.Ordinal)), "it is connected");
        await using var connection = await _server.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        await channel.BasicPublishAsync("", _queue, "a|b\nTASK_RESULT|x|y"u8.ToArray());
        await channel.BasicPublishAsync("", _queue, new byte[] { 0xff });

        using var worker = await node.RegisterAsync("w");
        await Eventually.BeTrueAsync(async () => await CountAsync(_queue + ".dead") == 2, "both are put aside");

        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1");
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|1");
    }

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task Server_Restarts_TasksWaitAndEachHasOneResult()
    {
        await using var node = await StartAsync();
        using var client = await node.ConnectAsync();
        using var worker = await node.RegisterAsync("w", 8);
        await client.SendAsync([.. Enumerable.Range(0, 50).Select(i => $"TASK|early{i}|{i}")]);
        var working = await worker.ReadTaskAsync();

        await _server.StopAsync();
        await client.SendAsync([.. Enumerable.Range(0, 50).Select(i => $"TASK|late{i}|{i}")]);
        await worker.SendAsync($"TASK_RESULT|{working}|{working["early".Length..]}");
        (await client.ReadAsync()).Should().StartWith($"RESULT|{working}|", "what was being worked on goes on");
        await _server.StartAsync();
        _ = worker.WorkAsync(data => data);
        using var helper = await node.RegisterAsync("helper", 8);
        _ = helper.WorkAsync(data => data);

        (await client.ReadAsync(99)).Should().OnlyHaveUniqueItems().And.NotContainNulls()
            .And.NotContain(line => line!.Contains("ERROR", StringComparison.Ordinal));
        node.Log.Lines.Count(line => line.Contains("is out of reach", StringComparison.Ordinal)).Should().Be(1);
        await Eventually.BeTrueAsync(async () => await CountAsync(_queue) == 0, "the queue is empty");
    }

    [Test]
    public async Task Node_IsKilled_ItsAcceptedTasksAreWorkedOnAllTheSame()
    {
        await using var other = await StartAsync();
        await using var killed = await NodeProgram.StartAsync(_server, _queue);
        using var client = await LinePeer.ConnectAsync(killed.ClientPort);
        using var witness = await LinePeer.ConnectAsync(killed.WorkerPort);
        await witness.SendAsync("REGISTER|witness|3");
        await witness.ReadAsync();
        await client.SendAsync([.. Enumerable.Range(0, 20).Select(i => $"TASK|{i}|{i}")]);
        await witness.ReadAsync(3);
        await Eventually.BeTrueAsync(async () => await CountAsync(_queue) == 17, "all of them are safe");

        await killed.Program.KillAsync();

        using var worker = await other.RegisterAsync("w", 20);
        var seen = new List<string>();
        for (var i = 0; i < 20; i++)
        {
            seen.Add(await worker.ReadTaskAsync());
        }
        seen.Should().BeEquivalentTo(Enumerable.Range(0, 20).Select(i => $"{i}"));
        (await client.ReadAsync()).Should().BeNull();
    }

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task Server_FallsSilent_IsToldWithinTheHeartbeatAndTriedAgain()
    {
        var clock = new FakeTimeProvider();
        await using var relay = new SilentRelay(_server.Port);
        await using var node = await StartAsync(
            listener => listener with { Queue = listener.Queue with { Uri = $"amqp://guest:guest@127.0.0.1:{relay.Port}" } }, clock);
        await node.Log.SaysAsync("is at hand");
        using var client = await node.ConnectAsync();

        relay.FallSilent();
        clock.Advance(TimeSpan.FromSeconds(9));
        node.Log.Lines.Should().NotContain(line => line.Contains("is out of reach", StringComparison.Ordinal));
        clock.Advance(TimeSpan.FromSeconds(1));

        await node.Log.SaysAsync("is out of reach", "nothing was received for 10 s, not even a heartbeat");
        await client.SendAsync("TASK|a|1");
        relay.Recover();
        using var worker = await node.RegisterAsync("w");
        _ = worker.WorkAsync(data => data);
        var result = client.ReadAsync();
        await Eventually.BeDoneAsync(result, clock, TimeSpan.FromSeconds(1), "it is connected again, and the task is done");
        (await result).Should().Be("RESULT|a|1");
    }

    private Task<TasksNode> StartAsync(
        Func<TasksListenerOptions, TasksListenerOptions>? listener = null, TimeProvider? time = null) => TasksNode.StartAsync(
        options =>
        {
            options = options with { Queue = new TaskQueueOptions { Engine = TaskQueueEngine.RabbitMq, Uri = _server.Uri, Name = _queue } };
            return listener?.Invoke(options) ?? options;
        },
        time: time);

    // How many wait in a queue, those under way not included.
    private async Task<uint> CountAsync(string queue)
    {
        await using var connection = await _server.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        return await channel.MessageCountAsync(queue);
    }
}
