using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tasks;

/// <summary>A whole node with a listener of tasks, over real sockets.</summary>
internal sealed class TasksListenerTests
{
    [Test]
    public async Task Task_OneWorker_IsAnsweredAsTheProtocolSays()
    {
        await using var node = await TasksNode.StartAsync();
        using var worker = await node.RegisterAsync("w1");
        using var client = await node.ConnectAsync();

        await client.SendRawAsync("TASK|a|1,2|x\r\n\r\n\nTASK|b|\n"u8.ToArray());
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|1,2|x");
        await worker.SendRawAsync("TASK_RESULT|a|3|4\r\n"u8.ToArray());

        (await client.ReadAsync()).Should().Be("RESULT|a|3|4");
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|b|");
        node.Pool.Snapshot.Members.Should().ContainSingle().Which.Address.ToString().Should().StartWith("tcp://127.0.0.1:");
    }

    [Test]
    public async Task Lines_OneByteAtATime_AreLines()
    {
        await using var node = await TasksNode.StartAsync();
        using var worker = await LinePeer.ConnectAsync(node.WorkerPort);
        using var client = await node.ConnectAsync();

        foreach (var b in "REGISTER|w|2\r\n"u8.ToArray())
        {
            await worker.SendRawAsync(new[] { b });
        }
        foreach (var b in "TASK|ñ|1\nTASK|b|2\n"u8.ToArray())
        {
            await client.SendRawAsync(new[] { b });
        }

        (await worker.ReadAsync(3)).Should().Equal("ACK|w", "ASSIGN_TASK|ñ|1", "ASSIGN_TASK|b|2");
        await worker.SendAsync("TASK_RESULT|b|2", "TASK_RESULT|ñ|1");
        (await client.ReadAsync(2)).Should().Equal("RESULT|b|2", "RESULT|ñ|1");
    }

    [Test]
    public async Task Task_IdInFlight_IsADuplicateForTheSameClientOnly()
    {
        await using var node = await TasksNode.StartAsync();
        using var one = await node.ConnectAsync();
        using var two = await node.ConnectAsync();
        await one.SendAsync("TASK|a|1", "TASK|a|2");
        (await one.ReadAsync()).Should().Be("ERROR|duplicate task id: a");
        await two.SendAsync("TASK|a|3");

        using var worker = await node.RegisterAsync("w", 2);
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|1");
        await worker.SendAsync("TASK_RESULT|a|x");
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|3");
        await worker.SendAsync("TASK_RESULT|a|y");

        (await one.ReadAsync(), await two.ReadAsync()).Should().Be(("RESULT|a|x", "RESULT|a|y"));
        await one.SendAsync("TASK|a|again");
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|again");
    }

    [Test]
    public async Task Task_QueueIsFull_IsRefused()
    {
        await using var node = await TasksNode.StartAsync(listener => listener with { QueueLimit = 2 });
        using var client = await node.ConnectAsync();

        await client.SendAsync("TASK|a|1", "TASK|b|2", "TASK|c|3");

        (await client.ReadAsync()).Should().Be("RESULT|c|ERROR: queue is full");
        node.Pool.Statistics.QueueRefusals.Should().Be(1);
        using var worker = await node.RegisterAsync("w");
        (await worker.ReadTaskAsync()).Should().Be("a");
    }

    [Test]
    public async Task Malformed_EitherSide_IsToldAndGoesOn()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        using var worker = await LinePeer.ConnectAsync(node.WorkerPort);

        await worker.SendAsync("TASK_RESULT|a|1", "HELLO", "REGISTER|w|0", "REGISTER|w");
        (await worker.ReadAsync(4)).Should().Equal(
            "ERROR|a result came before REGISTER", "ERROR|expected REGISTER|worker, REGISTER|worker|capacity or TASK_RESULT|id|result",
                "ERROR|the capacity is not a number from 1 to 10000", "ACK|w");
        await worker.SendAsync("REGISTER|w", "REGISTER|other", "TASK_RESULT|a|1");
        (await worker.ReadAsync(3)).Should()
            .Equal("ACK|w", "ERROR|this connection is that of worker w, which takes 1 at once", "ERROR|this worker has no such task: a");
        await client.SendRawAsync((byte[])[.. "TASK|\xff|1\nTASK|\n"u8, 0xff, (byte)'\n', .. "TASK|a|1\n"u8]);
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|ÿ|1");
        (await client.ReadAsync(2)).Should().Equal("ERROR|expected TASK|id|data", "ERROR|the line is not UTF-8");
    }

    [Test]
    public async Task Register_LinesFollowInTheSamePacket_AckIsFirst()
    {
        await using var node = await TasksNode.StartAsync();

        for (var i = 0; i < 20; i++)
        {
            using var worker = await LinePeer.ConnectAsync(node.WorkerPort);
            await worker.SendAsync($"REGISTER|w{i}", "TASK_RESULT|a|1", $"REGISTER|w{i}");

            (await worker.ReadAsync(3)).Should().Equal($"ACK|w{i}", "ERROR|this worker has no such task: a", $"ACK|w{i}");
        }
    }

    [Test]
    public async Task Line_TooLong_IsToldAndCut()
    {
        await using var node = await TasksNode.StartAsync(listener => listener with { MaxLineLength = 100 });
        using var client = await node.ConnectAsync();
        using var worker = await LinePeer.ConnectAsync(node.WorkerPort);

        await client.SendAsync($"TASK|a|{new string('x', 93)}");
        await client.SendRawAsync(new byte[50_000]);
        await worker.SendRawAsync(new byte[108]);

        (await client.ReadAsync(2)).Should().Equal("ERROR|line too long", null);
        (await worker.ReadAsync(2)).Should().Equal("ERROR|line too long", null);
    }

    [Test]
    public async Task Client_EndsItsHalf_StillGetsItsResultsThenTheEnd()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1", "TASK|b|2");
        client.EndSending();
        using var worker = await node.RegisterAsync("w");
        _ = worker.WorkAsync(data => data + data);

        (await client.ReadAsync(3)).Should().Equal("RESULT|a|11", "RESULT|b|22", null);
    }

    [Test]
    public async Task Client_IsReset_TakesItsWaitingTasksWithIt()
    {
        await using var node = await TasksNode.StartAsync();
        var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1", "TASK|b|2");
        await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == 2, "both wait");

        client.Reset();

        await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == 0, "no client waits for them any more");
    }

    [Test]
    public async Task Worker_Disconnects_ItsTaskGoesToAnother()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        using var first = await node.RegisterAsync("first");
        await client.SendAsync("TASK|a|1");
        await first.ReadTaskAsync();

        using var second = await node.RegisterAsync("second");
        first.Reset();

        (await second.ReadAsync()).Should().Be("ASSIGN_TASK|a|1");
        await Eventually.BeTrueAsync(
            () => node.Pool.Snapshot.Members.Select(member => member.Name).SequenceEqual(["second"]), "it has left the pool");
    }

    [Test]
    public async Task Worker_OwedMoreThanItCanBeSentAtOnce_IsListenedToMeanwhile()
    {
        const int Count = 5000;
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        var data = new string('x', 8 * 1024);
        await client.SendAsync([.. Enumerable.Range(0, Count).Select(i => $"TASK|{i}|{data}")]);
        await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == Count, "all wait");

        // The worker reads no further task before its answer to the previous one was received.
        using var worker = await node.RegisterAsync("w", 3000);
        var answer = new string('y', 20_000);
        var working = worker.WorkAsync(_ => answer);

        for (var i = 0; i < Count; i++)
        {
            (await client.ReadAsync()).Should().EndWith("y");
        }
    }

    [Test]
    public async Task Worker_EndsItsHalf_GetsNoTaskAnyMore()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        using var worker = await node.RegisterAsync("w", 2000);
        var data = new string('x', 16 * 1024);
        await client.SendAsync([.. Enumerable.Range(0, 1500).Select(i => $"TASK|{i}|{data}")]);
        await Eventually.BeTrueAsync(
            () => node.Listener.Counts is { Running: > 0, Running: var running, Waiting: var waiting } && running + waiting == 1500,
            "it reads none of them");

        worker.EndSending();

        await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == 1500, "they are for others");
    }

    [Test]
    public async Task Silence_BeforeTheFirstLine_IsCutAndAfterItIsNot()
    {
        var clock = new FakeClock();
        await using var node = await TasksNode.StartAsync(time: clock);
        using var client = await node.ConnectAsync();
        using var worker = await node.RegisterAsync("w");
        await client.SendAsync("TASK|a|1");
        await worker.ReadTaskAsync();
        await worker.SendAsync("TASK_RESULT|a|1");
        (await client.ReadAsync()).Should().Be("RESULT|a|1");
        var before = clock.TimersWithin(TimeSpan.FromSeconds(30));
        var silent = await Task.WhenAll(
            Enumerable.Range(0, 100).Select(i => i % 2 == 0 ? node.ConnectAsync() : LinePeer.ConnectAsync(node.WorkerPort)));
        await Eventually.BeTrueAsync(() => clock.TimersWithin(TimeSpan.FromSeconds(30)) >= before + 100, "all were accepted");

        clock.Advance(TimeSpan.FromSeconds(30));

        foreach (var peer in silent)
        {
            (await peer.ReadAsync(2)).Should().Equal("ERROR|nothing of use has come for 00:00:30", null);
            peer.Dispose();
        }
        clock.Advance(TimeSpan.FromDays(1));
        await client.SendAsync("TASK|b|1");
        (await worker.ReadTaskAsync()).Should().Be("b");
    }

    // A malformed line is no first line, on either port; nor does one byte after the other keep a connection open.
    [Test]
    public async Task FirstLine_MalformedOrNeverWhole_IsCut([Values] bool isWorker)
    {
        var clock = new FakeClock();
        await using var node = await TasksNode.StartAsync(time: clock);
        var port = isWorker ? node.WorkerPort : node.ClientPort;
        var before = clock.TimersWithin(TimeSpan.FromSeconds(30));
        using var malformed = await LinePeer.ConnectAsync(port);
        using var slow = await LinePeer.ConnectAsync(port);
        await Eventually.BeTrueAsync(() => clock.TimersWithin(TimeSpan.FromSeconds(30)) >= before + 2, "both were accepted");
        await malformed.SendAsync("HELLO");
        (await malformed.ReadAsync()).Should().StartWith("ERROR|expected");
        for (var second = 0; second < 29; second++)
        {
            await slow.SendRawAsync("T"u8.ToArray());
            clock.Advance(TimeSpan.FromSeconds(1));
        }
        await malformed.SendAsync("HELLO");
        (await malformed.ReadAsync()).Should().StartWith("ERROR|expected", "its time is not over");

        clock.Advance(TimeSpan.FromSeconds(1));

        (await malformed.ReadAsync(2)).Should().Equal("ERROR|nothing of use has come for 00:00:30", null);
        (await slow.ReadAsync(2)).Should().Equal("ERROR|nothing of use has come for 00:00:30", null);
    }

    [Test]
    public async Task Clients_HaveTooMuchTogether_TheOneWithTheMostIsClosedAndOthersAreServed()
    {
        await using var node = await TasksNode.StartAsync(
            listener => listener with { MaxLineLength = 256 * 1024, MaxBufferedBytes = 1024 * 1024 });
        using var worker = await node.RegisterAsync("w");
        using var large = await node.ConnectAsync();
        await large.SendRawAsync(new byte[250_000]);
        await Eventually.BeTrueAsync(() => node.Listener.BufferedBytes >= 256 * 1024, "it is counted");
        var small = await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
        {
            var peer = await node.ConnectAsync();
            await peer.SendRawAsync(new byte[100_000]);
            return peer;
        }));

        (await large.ReadAsync()).Should().BeNull("it had the most");

        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1");
        await worker.ReadTaskAsync();
        await worker.SendAsync("TASK_RESULT|a|2");
        (await client.ReadAsync()).Should().Be("RESULT|a|2");
        await node.Log.SaysAsync("listener 'tasks': the client at", "MaxBufferedBytes");
        node.Listener.BufferedBytes.Should().BeLessThanOrEqualTo(1024 * 1024);
        Array.ForEach(small, peer => peer.Dispose());
        await Eventually.BeTrueAsync(() => node.Listener.BufferedBytes == 0, "all is given back");
    }

    // A client alone must not be able to end the connection of a worker.
    [Test]
    public async Task Worker_ReadsNothing_GetsOnlyAsManyTasksAsFewBytesUntilItReads()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        using var worker = await node.RegisterAsync("w", 10_000);
        var data = new string('x', 60_000);
        await client.SendAsync([.. Enumerable.Range(0, 1000).Select(i => $"TASK|{i}|{data}")]);
        await Eventually.BeTrueAsync(() => node.Listener.Counts is var counts && counts.Running + counts.Waiting == 1000, "all are there");

        node.Listener.Counts.Running.Should().BeLessThan(1000, "the worker has read nothing");
        node.Listener.BufferedBytes.Should().BeLessThan(2 * 1024 * 1024);

        var working = worker.WorkAsync(_ => "y");
        for (var i = 0; i < 1000; i++)
        {
            (await client.ReadAsync()).Should().EndWith("|y");
        }
    }

    [Test]
    public async Task Stop_TasksAreAccepted_TheyAreDoneAndNewOnesRefused()
    {
        await using var node = await TasksNode.StartAsync();
        using var worker = await node.RegisterAsync("w");
        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1", "TASK|b|2");
        await worker.ReadTaskAsync();

        var stopping = node.StopAsync();
        await Eventually.BeTrueAsync(() => node.Log.Lines.Any(line => line.Contains("stopping", StringComparison.Ordinal)), "it stops");
        await Eventually.BeTrueAsync(async () =>
        {
            await client.SendAsync("TASK|c|3");
            return await client.ReadAsync() == "RESULT|c|ERROR: the load balancer is stopping";
        }, "new tasks are refused");
        await worker.SendAsync("TASK_RESULT|a|x");
        (await worker.ReadTaskAsync()).Should().Be("b");
        await worker.SendAsync("TASK_RESULT|b|y");

        (await client.ReadAsync(3)).Should().Equal("RESULT|a|x", "RESULT|b|y", null);
        (await worker.ReadAsync()).Should().BeNull();
        client.Dispose(); // Who stays is waited for.
        worker.Dispose();
        await stopping;
    }

    [Test]
    public async Task Stop_NobodyWorks_TellsWhoWaits()
    {
        await using var node = await TasksNode.StartAsync();
        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1");
        await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == 1, "it waits");

        await node.StopAsync();

        (await client.ReadAsync(2)).Should().Equal("RESULT|a|ERROR: the load balancer is stopping", null);
    }

    [Test]
    public async Task Reload_OtherLimits_HoldAndWorkersStay()
    {
        await using var node = await TasksNode.StartAsync();
        using var worker = await node.RegisterAsync("w");

        node.Listener.Apply(new TasksListenerOptions { Pool = "tasks", QueueLimit = 1 });

        using var client = await node.ConnectAsync();
        await client.SendAsync("TASK|a|1", "TASK|b|2", "TASK|c|3");
        (await client.ReadAsync()).Should().Be("RESULT|c|ERROR: queue is full");
        node.Pool.Snapshot.Members.Should().ContainSingle();
    }

    [Test]
    public async Task Policy_LeastConnections_FillsAllAlike()
    {
        await using var node = await TasksNode.StartAsync(pool: pool => pool with { Policy = PolicyName.LeastConnections });
        using var one = await node.RegisterAsync("one", 4);
        using var two = await node.RegisterAsync("two", 4);
        using var client = await node.ConnectAsync();

        await client.SendAsync([.. Enumerable.Range(0, 6).Select(i => $"TASK|{i}|x")]);

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.Sum(member => member.InFlight) == 6, "all are at work");
        node.Pool.Snapshot.Members.Should().OnlyContain(member => member.InFlight == 3);
    }

    [Test]
    public async Task ManyClients_ManyWorkersThatDie_EveryTaskIsAnsweredOnce()
    {
        await using var node = await TasksNode.StartAsync(listener => listener with { MaxAttempts = 1000 });
        using var over = new CancellationTokenSource();
        var workers = Enumerable.Range(0, 8).Select(async seed =>
        {
            var random = new Random(seed);
            while (!over.IsCancellationRequested)
            {
                using var worker = await node.RegisterAsync($"w{seed}", random.Next(1, 5));
                var left = random.Next(1, 200);
                await worker.WorkAsync(data => --left == 0 ? throw new IOException("it dies") : data);
            }
        }).ToArray();

        await Task.WhenAll(Enumerable.Range(0, 16).Select(async seed =>
        {
            using var client = await node.ConnectAsync();
            var expected = Enumerable.Range(0, 300).Select(i => $"RESULT|{i}|{seed}.{i}").ToList();
            await client.SendAsync([.. Enumerable.Range(0, 300).Select(i => $"TASK|{i}|{seed}.{i}")]);
            if (seed % 4 == 3)
            {
                await client.ReadAsync(10);
                client.Reset(); // and good bye
                return;
            }
            (await client.ReadAsync(300)).Should().BeEquivalentTo(expected);
        }));
        await over.CancelAsync();
        await node.StopAsync();
        await Task.WhenAll(workers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task Rabbit_IsOutOfReach_WhoIsGoneTakesNoMoreMemoryThanTheQueueMay()
    {
        await using var node = await StartWithoutServerAsync($"amqp://guest:s3cret@127.0.0.1:{ReservedPorts.Next()}");
        for (var i = 0; i < 3; i++)
        {
            using var gone = await node.ConnectAsync();
            await gone.SendAsync("TASK|a|1", "TASK|b|2", "oops");
            (await gone.ReadAsync()).Should().Be(i == 0 ? "ERROR|expected TASK|id|data" : "RESULT|a|ERROR: queue is full");
            gone.Reset();
            await Eventually.BeTrueAsync(() => node.Listener.Counts.Waiting == 0, "no client waits for a result");
        }
    }

    [Test]
    public async Task Rabbit_AddressIsNone_IsToldAndTriedAgain()
    {
        await using var node = await StartWithoutServerAsync("amqp://guest:s3cret@127.0.0.1:1/a/b");

        await Eventually.BeTrueAsync(
            () => node.Log.Lines.Any(line => line.Contains("is out of reach", StringComparison.Ordinal)), "it is told");
        node.Log.Lines.Should().NotContain(line => line.Contains("s3cret", StringComparison.Ordinal));
    }

    private static Task<TasksNode> StartWithoutServerAsync(string uri) =>
        TasksNode.StartAsync(
            listener => listener with { QueueLimit = 2, Queue = new TaskQueueOptions { Engine = TaskQueueEngine.RabbitMq, Uri = uri } });
}
