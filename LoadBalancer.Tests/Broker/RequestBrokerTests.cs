using System.Net.Sockets;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Broker;

/// <summary>Requests and answers through a whole node, with peers of ours.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class RequestBrokerTests : IAsyncDisposable
{
    private BrokerNode _node = null!;

    [SetUp]
    public async Task StartAsync() => _node = await BrokerNode.StartAsync(options => options with { QueueLimit = 3 });

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Test]
    public async Task Request_ThreeWorkers_TakeTurns()
    {
        foreach (var name in new[] { "a", "b", "c" })
        {
            await _node.AnsweringWorkerAsync(name);
        }
        var client = _node.Client("uuid");

        var answers = new List<string>();
        for (var i = 0; i < 6; i++)
        {
            answers.Add((await client.RequestAsync(ZmtpMessage.Of("uuid", "PING"))).ToString());
        }

        answers[..3].Should().BeEquivalentTo("a: PING", "b: PING", "c: PING");
        answers[3..].Should().Equal(answers[..3]);
        _node.Pool.Snapshot.Members.Select(member => member.Name).Should().Equal("worker-1", "worker-2", "worker-3");
        _node.Pool.Snapshot.Members.Should()
            .OnlyContain(member => member.Requests == 2 && member.InFlight == 0 && member.MaxInFlight == 1
            && member.Address.Host == "127.0.0.1");
    }

    [Test]
    public async Task Request_WhileAWorkerIsBusy_GoesToTheOther()
    {
        var busy = await _node.WorkerAsync();
        var slow = _node.Client("slow").RequestAsync(ZmtpMessage.Of("slow", "BUY 1"));
        var taken = await busy.ReceiveAsync();
        await _node.AnsweringWorkerAsync("other");

        for (var i = 0; i < 4; i++)
        {
            (await _node.AskAsync("PING")).Should().Be("other: PING");
        }

        taken.Reply(ZmtpMessage.Of("at last"));
        (await slow).ToString().Should().Be("at last");
    }

    [Test]
    public async Task Request_NobodyIsThere_WaitsInOrder()
    {
        var asked = new List<Task<ZmtpMessage>>();
        foreach (var id in new[] { "a", "b", "c" })
        {
            asked.Add(_node.Client(id).RequestAsync(ZmtpMessage.Of(id, $"QUERY {id}")));
            await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == asked.Count, "it waits");
        }

        var worker = await _node.WorkerAsync();
        foreach (var id in new[] { "a", "b", "c" })
        {
            var request = await worker.ReceiveAsync();
            request.Message.ToString().Should().Be($"{id}|QUERY {id}");
            request.Reply(ZmtpMessage.Of(id));
        }

        (await Task.WhenAll(asked)).Select(answer => answer.ToString()).Should().Equal("a", "b", "c");
        _node.Pool.WaitingCount.Should().Be(0);
    }

    [Test]
    public async Task Request_BeyondTheQueue_IsAnsweredFail()
    {
        var waiting = Enumerable.Range(0, 3).Select(i => _node.Client($"{i}").RequestAsync(ZmtpMessage.Of($"{i}", "LIST"))).ToList();
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 3, "the queue is full");

        (await _node.AskAsync("LIST")).Should().Be("FAIL");

        _node.Pool.Statistics.QueueRefusals.Should().Be(1);
        _node.Errors.Summary().Types.Should().Equal(("503_SERVICE_UNAVAILABLE", 1L));
        await _node.AnsweringWorkerAsync("late");
        (await Task.WhenAll(waiting)).Should().OnlyContain(answer => answer.ToString() == "late: LIST");
    }

    [Test]
    public async Task Request_ClientGoesAwayWhileItWaits_IsForgotten()
    {
        await using (var client = new RequestSocket())
        {
            client.Connect(_node.At(_node.Ports.Clients));
            _ = client.RequestAsync(ZmtpMessage.Of("gone", "BUY 1")).ContinueWith(task => task.Exception, TaskScheduler.Default);
            await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 1, "it waits");
        }
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 0, "it is forgotten");

        var worker = await _node.WorkerAsync();
        var asked = _node.AskAsync("PING");
        var request = await worker.ReceiveAsync();
        request.Message.Text(1).Should().Be("PING");
        request.Reply(ZmtpMessage.Of("PONG"));
        (await asked).Should().Be("PONG");
    }

    [TestCase("LIST", true)]
    [TestCase("QUERY 7", true)]
    [TestCase("PING", true)]
    [TestCase("BUY 7", false)]
    [TestCase("LISTS", false)]
    [TestCase("list", false)]
    [TestCase("", false)]
    public async Task Worker_ConnectionDropsBeforeItsAnswer_OnlyWhatDoesNoHarmTwiceGoesToAnother(string command, bool isRepeated)
    {
        var first = await _node.WorkerAsync();
        var asked = _node.Client("uuid").RequestAsync(ZmtpMessage.Of("uuid", command));
        await first.ReceiveAsync();
        await first.DisposeAsync();
        await Eventually.BeTrueAsync(() => _node.Status.Workers == 0, "the worker is gone");
        await _node.AnsweringWorkerAsync("second");

        (await _node.AskAsync("PING", "other")).Should().Be("second: PING");
        if (isRepeated)
        {
            (await asked).ToString().Should().Be($"second: {command}");
        }
        asked.IsCompleted.Should().Be(isRepeated);
        _node.Pool.Statistics.Retries.Should().Be(isRepeated ? 1 : 0);
    }

    [Test]
    public async Task Request_WorkersDropOneAfterTheOther_IsGivenUp()
    {
        var asked = _node.Client("uuid").RequestAsync(ZmtpMessage.Of("uuid", "LIST"));
        for (var i = 0; i < 5; i++)
        {
            var worker = await _node.WorkerAsync();
            await worker.ReceiveAsync();
            await worker.DisposeAsync();
            await Eventually.BeTrueAsync(() => _node.Status.Workers == 0, "the worker is gone");
        }

        (await asked).ToString().Should().Be("FAIL");
    }

    [Test]
    public async Task Answer_ClientHasConnectedAgain_GoesToTheNewConnection()
    {
        var worker = await _node.WorkerAsync();
        await using var first = new PeerSocket(
            ZmtpSocketType.Dealer)
        { Identity = "uuid"u8.ToArray(), Connected = peer => peer.Send(ZmtpMessage.Of("", "uuid", "BUY 1")) };
        first.Connect(_node.At(_node.Ports.Clients));
        var request = await worker.ReceiveAsync();
        await first.DisposeAsync();
        var answered = new TaskCompletionSource<string>();
        await using var second = new PeerSocket(
            ZmtpSocketType.Dealer)
        { Identity = "uuid"u8.ToArray(), Received = (_, message) => answered.SetResult(message.ToString()) };
        second.Connect(_node.At(_node.Ports.Clients));
        await Eventually.BeTrueAsync(() => _node.Status.Clients == 1 && second.Statistics.Handshakes == 1, "it is back");

        request.Reply(ZmtpMessage.Of("bought"));

        (await answered.Task).Should().Be("|bought");
    }

    [Test]
    public async Task Answer_ClientHasAskedAgainOnANewConnection_IsNotTakenForTheNewOne()
    {
        var worker = await _node.WorkerAsync();
        using var impatience = new CancellationTokenSource();
        var client = _node.Client("uuid");
        var first = client.RequestAsync(ZmtpMessage.Of("uuid", "BUY 1"), impatience.Token);
        var request = await worker.ReceiveAsync();
        await impatience.CancelAsync();
        await first.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        var second = client.RequestAsync(ZmtpMessage.Of("uuid", "QUERY 1"));
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 1, "it asks again");

        request.Reply(ZmtpMessage.Of("the old answer"));
        request = await worker.ReceiveAsync();
        request.Reply(ZmtpMessage.Of("the new answer"));

        (await second).ToString().Should().Be("the new answer");
    }

    [Test]
    public async Task Client_ConnectsWithAConnectedIdentity_ReplacesTheOlder()
    {
        await _node.AnsweringWorkerAsync("a");
        var first = _node.Client("uuid");
        (await first.RequestAsync(ZmtpMessage.Of("uuid", "PING"))).ToString().Should().Be("a: PING");

        (await _node.AskAsync("PING", "uuid")).Should().Be("a: PING");

        _node.Status.Refused.Should().Contain(refused => refused.Port == "Clients" && refused.Reason == "Replaced");
    }

    [TestCase(AdminState.Draining)]
    [TestCase(AdminState.Disabled)]
    public async Task Worker_IsNotWantedAnyMore_GetsNothingNewUntilItIs(AdminState state)
    {
        await _node.AnsweringWorkerAsync("a");
        await _node.AnsweringWorkerAsync("b");
        var (first, _) = (_node.Pool.Snapshot.Members[0], _node.Pool.Snapshot.Members[1]);
        _node.Pool.Change(() => first.AdminState = state);

        for (var i = 0; i < 5; i++)
        {
            (await _node.AskAsync("PING")).Should().Be("b: PING");
        }

        _node.Pool.Change(() => _node.Pool.Snapshot.Members[1].AdminState = state);
        var waits = _node.AskAsync("LIST");
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 1, "it waits");
        _node.Pool.Change(() => first.AdminState = AdminState.Ready);
        (await waits).Should().Be("a: LIST");
    }

    [TestCase("one frame")]
    [TestCase("three|frames|here")]
    public async Task Request_NotOfTwoFrames_IsAnsweredFailAndCounted(string frames)
    {
        await _node.AnsweringWorkerAsync("a");
        var client = _node.Client("uuid");

        (await client.RequestAsync(ZmtpMessage.Of(frames.Split('|')))).ToString().Should().Be("FAIL");

        (await client.RequestAsync(ZmtpMessage.Of("uuid", "PING"))).ToString().Should().Be("a: PING", "it cost the client nothing");
        _node.Status.Refused.Should().Equal(("Clients", "NotARequest", 1L));
    }

    [Test]
    public async Task Worker_SendsWhatAnswersNothing_LosesItsConnectionAlone()
    {
        var gone = new TaskCompletionSource();
        await using var bad = new PeerSocket(ZmtpSocketType.Dealer)
        {
            Connected = peer => peer.Send(ZmtpMessage.Of("", "nobody has asked")),
            Disconnected = _ => gone.TrySetResult(),
        };
        await _node.AnsweringWorkerAsync("a");
        bad.Connect(_node.At(_node.Ports.Workers));
        await gone.Task;

        (await _node.AskAsync("PING")).Should().Be("a: PING");
        _node.Status.Refused.Should().Contain(refused => refused.Port == "Workers" && refused.Reason == "NotAnAnswer");
    }

    [Test]
    public async Task Request_OfMoreThan64KiB_CostsItsClientTheConnection()
    {
        await _node.AnsweringWorkerAsync("a");
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));

        await _node.Client("large")
            .Awaiting(client => client.RequestAsync(ZmtpMessage.Of("large", new string('x', 64 * 1024)), patience.Token)).Should()
            .ThrowAsync<SocketException>();

        (await _node.AskAsync(new string('x', 60 * 1024))).Should().HaveLength(60 * 1024 + 3);
    }

    [Test]
    public async Task Apply_OtherOptions_QueueLimitHoldsAtOnceAndTheRestNeedsARestart()
    {
        var options = new LoadBalancer.Configuration.Options.BrokerListenerOptions
        {
            Address = TestNode.Parse("tcp://127.0.0.1"),
            Pool = "other",
            QueueLimit = 1,
            PeerTimeout = TimeSpan.FromSeconds(9),
        };

        _node.Listener.Apply(options);

        var waiting = _node.Client("a").RequestAsync(ZmtpMessage.Of("a", "LIST"));
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 1, "it waits");
        (await _node.AskAsync("LIST")).Should().Be("FAIL");
        await _node.AnsweringWorkerAsync("late");
        await waiting;
    }

    [Test]
    public async Task Stop_WorkUnderWay_IsFinishedAndWhatWaitsIsAnsweredFail()
    {
        var worker = await _node.WorkerAsync();
        var underWay = _node.Client("a").RequestAsync(ZmtpMessage.Of("a", "BUY 1"));
        var request = await worker.ReceiveAsync();
        var waiting = _node.Client("b").RequestAsync(ZmtpMessage.Of("b", "BUY 1"));
        await Eventually.BeTrueAsync(() => _node.Pool.WaitingCount == 1, "it waits");

        var stopped = _node.StopAsync();
        (await waiting).ToString().Should().Be("FAIL");
        stopped.IsCompleted.Should().BeFalse();
        request.Reply(ZmtpMessage.Of("bought"));

        (await underWay).ToString().Should().Be("bought");
        await stopped;
    }

    [Test]
    public async Task Requests_ManyClientsAndWorkersThatComeAndGo_EachIsAnsweredOnce()
    {
        await using var node = await BrokerNode.StartAsync();
        for (var i = 0; i < 4; i++)
        {
            await node.AnsweringWorkerAsync("steady");
        }
        using var enough = new CancellationTokenSource();
        var coming = Task.Run(async () =>
        {
            // Every other one answers before it leaves: a request that five of them lost would be answered FAIL.
            for (var isSteady = false; !enough.IsCancellationRequested; isSteady = !isSteady)
            {
                using var answered = new SemaphoreSlim(0);
                await using var worker = node.PassingWorker("passing", () => answered.Release());
                await (isSteady ? answered.WaitAsync(enough.Token) : Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System))
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        });

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i =>
        {
            var client = new RequestSocket { Identity = System.Text.Encoding.ASCII.GetBytes($"client-{i}") };
            client.Connect(node.At(node.Ports.Clients));
            await using (client)
            {
                var wrong = new List<string>();
                for (var j = 0; j < 100; j++)
                {
                    var answer = (await client.RequestAsync(ZmtpMessage.Of($"client-{i}", $"QUERY {i} {j}"))).ToString();
                    if (!answer.EndsWith($": QUERY {i} {j}", StringComparison.Ordinal))
                    {
                        wrong.Add($"{i} {j}: {answer}");
                    }
                }
                return wrong;
            }
        }));
        await enough.CancelAsync();
        await coming;

        answers.SelectMany(wrong => wrong).Should().BeEmpty();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.Length == 4
            && node.Pool.Snapshot.Members.All(member => member.InFlight == 0), "nothing is left over");
    }
}
