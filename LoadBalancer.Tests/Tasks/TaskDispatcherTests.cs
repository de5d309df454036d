using System.Net;
using System.Text;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tasks;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Tasks;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TaskDispatcherTests : IDisposable
{
    private static readonly TimeSpan TaskTimeout = TimeSpan.FromMinutes(1);

    private readonly FakeClock _clock = new();
    private readonly BackendPool _pool = new("tasks", new RoundRobinPolicy(), []);
    private readonly TaskDispatcher _dispatcher;
    private volatile Backend[] _members = []; // when the dispatcher has done what follows from a change

    public TaskDispatcherTests()
    {
        _dispatcher = new TaskDispatcher(
            "tasks", _pool, new TasksListenerOptions { TaskTimeout = TaskTimeout, MaxAttempts = 3 }, _clock, NullLogger.Instance);
        _pool.MembersChanged += pool => _members = [.. pool.Snapshot.Members];
    }

    public void Dispose() => _dispatcher.Dispose();

    [Test]
    public async Task Add_WorkersOfDifferentCapacity_AreGivenWhatTheyTakeAndTheRestWaits()
    {
        var (small, large) = (await RegisterAsync("small"), await RegisterAsync("large", 3));

        var tasks = Enumerable.Range(0, 6).Select(i => Add($"t{i}")).ToList();

        (small.Assigned.Count, large.Assigned.Count, _dispatcher.Waiting).Should().Be((1, 3, 2));
        _pool.Snapshot.Members.Select(member => (member.Name, member.Weight, member.MaxInFlight)).Should()
            .Equal(("small", 1, 1), ("large", 3, 3));
        tasks[4].Result.Should().BeNull();
    }

    [Test]
    public async Task Answer_TasksWait_GivesTheFirstThatCame()
    {
        var worker = await RegisterAsync("w");
        List<FakeTask> tasks = [Add("a"), Add("b"), Add("c")];

        worker.Answer("a", "1|2").Should().Be(AnswerFate.Taken);

        tasks[0].Result.Should().Be("1|2");
        worker.Assigned.Should().Equal("ASSIGN_TASK|a|data\n", "ASSIGN_TASK|b|data\n");
        _pool.Snapshot.Members[0].InFlight.Should().Be(1);
    }

    [Test]
    public async Task Answer_Twice_IsDroppedAndOneOfAnotherIsUnknown()
    {
        var (one, two) = (await RegisterAsync("one"), await RegisterAsync("two"));
        var (a, b) = (Add("a"), Add("b"));
        var (hasA, hasB) = one.Assigned[0].Contains("|a|", StringComparison.Ordinal) ? (one, two) : (two, one);

        hasA.Answer("b", "stolen").Should().Be(AnswerFate.UnknownTask);
        hasA.Answer("a", "1").Should().Be(AnswerFate.Taken);
        hasA.Answer("a", "2").Should().Be(AnswerFate.Dropped);
        hasA.Answer("never", "3").Should().Be(AnswerFate.UnknownTask);
        hasB.Answer("b", "4").Should().Be(AnswerFate.Taken);

        (a.Result, b.Result).Should().Be(("1", "4"));
    }

    [Test]
    public async Task Add_EqualIds_AreNeverAtOneWorkerAtOnce()
    {
        var one = await RegisterAsync("one", 5);
        var (first, second, other) = (Add("same"), Add("same"), Add("other"));

        one.Assigned.Should().Equal("ASSIGN_TASK|same|data\n", "ASSIGN_TASK|other|data\n");
        var two = await RegisterAsync("two", 5);
        two.Assigned.Should().Equal("ASSIGN_TASK|same|data\n");
        var third = Add("same");
        one.Answer("same", "1");

        one.Assigned.Should().HaveCount(3);
        (first.Result, second.Result, third.Result, other.Result).Should().Be(("1", null, null, null));
    }

    [Test]
    public async Task Unregister_WithTasks_GivesThemToOthersBeforeWhatCameLater()
    {
        var gone = await RegisterAsync("gone", 2);
        var (a, b, c) = (Add("a"), Add("b"), Add("c"));

        _dispatcher.Unregister(gone.Worker, "gone");
        var other = await RegisterAsync("other", 3);

        other.Assigned.Select(line => line.Split('|')[1]).Should().Equal("a", "b", "c");
        _pool.Snapshot.Members.Should().ContainSingle().Which.Name.Should().Be("other");
        gone.Answer("a", "late").Should().Be(AnswerFate.UnknownTask);
        (a.Attempts, b.Attempts, c.Attempts).Should().Be((2, 2, 1));
        _pool.Statistics.Retries.Should().Be(2);
    }

    [Test]
    public async Task Unregister_AsOftenAsMayBe_FailsTheTask()
    {
        var task = Add("poison");
        for (var i = 1; i <= 3; i++)
        {
            task.Result.Should().BeNull();
            _dispatcher.Unregister((await RegisterAsync($"w{i}")).Worker, "it died of it");
        }

        task.Result.Should().Be("ERROR: no worker has finished the task in 3 attempts; the last worker is gone");
        task.IsFailure.Should().BeTrue();
        _dispatcher.Waiting.Should().Be(0);
    }

    [Test]
    public async Task Advance_BeyondTaskTimeout_TheTaskGoesToAnotherAndItsWorkerGetsNothingUntilItAnswers()
    {
        var slow = await RegisterAsync("slow", 4);
        var task = Add("a");
        var fast = await RegisterAsync("fast");

        _clock.Advance(TaskTimeout);

        fast.Assigned.Should().Equal("ASSIGN_TASK|a|data\n");
        var waits = Add("b");
        slow.Assigned.Should().HaveCount(1, "it owes an answer");
        (_pool.Snapshot.Members[0].Health.IsUp, _pool.Snapshot.Members[0].Health.Reason).Should()
            .Be((false, "has kept a task for more than 00:01:00"));

        slow.Answer("a", "late").Should().Be(AnswerFate.Dropped);
        slow.Assigned.Should().Equal("ASSIGN_TASK|a|data\n", "ASSIGN_TASK|b|data\n");
        task.Result.Should().BeNull();
        fast.Answer("a", "in time");
        task.Result.Should().Be("in time");
        waits.Result.Should().BeNull();
    }

    [Test]
    public async Task Advance_BeyondEveryAttempt_FailsTheTask()
    {
        for (var i = 0; i < 3; i++)
        {
            await RegisterAsync($"w{i}");
        }
        var task = Add("a");

        _clock.Advance(TaskTimeout * 2);
        task.Result.Should().BeNull();
        _clock.Advance(TaskTimeout);

        task.Result.Should().Be("ERROR: no worker has finished the task in 3 attempts; the last kept it for more than 00:01:00");
    }

    [Test]
    public async Task Add_WorkerHasNotReadItsTasks_GoesToAnotherUntilItHas()
    {
        var (unread, other) = (await RegisterAsync("unread", 10), await RegisterAsync("other", 2));
        unread.Unread = new TaskCompletionSource();

        for (var i = 0; i < 5; i++)
        {
            Add($"t{i}");
        }
        (unread.Assigned.Count, other.Assigned.Count, _dispatcher.Waiting).Should().Be((1, 2, 2));
        var read = unread.Unread;
        unread.Unread = null;
        read.SetResult();

        await Eventually.BeTrueAsync(() => unread.Assigned.Count == 3, "it has read");
        unread.Worker.Backend.MaxInFlight.Should().Be(10);
    }

    [Test]
    public async Task Register_UnderANameThatIsThere_TheNewestWins()
    {
        var old = await RegisterAsync("w");
        var task = Add("a");

        var newest = await RegisterAsync("w");

        old.ClosedBecause.Should().Be("another connection has registered under this name");
        newest.Assigned.Should().Equal("ASSIGN_TASK|a|data\n");
        _dispatcher.Unregister(old.Worker, "closed");
        newest.Answer("a", "done").Should().Be(AnswerFate.Taken);
        task.Result.Should().Be("done");
    }

    [Test]
    public async Task Change_DrainingOrDisabled_GetsNothingNew([Values(AdminState.Draining, AdminState.Disabled)] AdminState state)
    {
        var worker = await RegisterAsync("w");
        Add("a");
        var waits = Add("b");
        _pool.Change(() => _pool.Snapshot.Members[0].AdminState = state);

        worker.Answer("a", "1");
        worker.Assigned.Should().HaveCount(1);
        _pool.Change(() => _pool.Snapshot.Members[0].AdminState = AdminState.Ready);

        worker.Assigned.Should().HaveCount(2);
        waits.Attempts.Should().Be(1);
    }

    [Test]
    public async Task Abandon_WaitingOrRunning_IsWorkedOnNoMore()
    {
        var worker = await RegisterAsync("w");
        var (running, waiting) = (Add("a"), Add("b"));

        lock (_dispatcher.Gate)
        {
            _dispatcher.AbandonNeedsLock(running).Should().BeFalse();
            _dispatcher.AbandonNeedsLock(waiting).Should().BeTrue();
        }
        _dispatcher.Unregister(worker.Worker, "gone");
        var other = await RegisterAsync("other");

        other.Assigned.Should().BeEmpty();
        _dispatcher.Waiting.Should().Be(0);
    }

    [Test]
    public void TryAdd_AsManyWaitAsMay_Refuses()
    {
        lock (_dispatcher.Gate)
        {
            _dispatcher.TryAddNeedsLock(new FakeTask("a"), 1).Should().BeTrue();
            _dispatcher.TryAddNeedsLock(new FakeTask("b"), 1).Should().BeFalse();
        }
    }

    [Test]
    public async Task MembersChange_AnOperatorHasRemovedIt_IsClosed()
    {
        var worker = await RegisterAsync("w");

        _pool.ChangeMembers(members => members.RemoveAt(0));

        worker.ClosedBecause.Should().Be("an operator has removed this worker");
    }

    [Test]
    public async Task Register_ThousandsAtOnce_AreFewChangesOfThePool()
    {
        var changes = 0;
        _pool.MembersChanged += _ => Interlocked.Increment(ref changes);

        FakeWorker[] workers = [];
        lock (_dispatcher.Gate)
        {
            workers = [.. Enumerable.Range(0, 3000).Select(i => Register($"w{i}", 1))];
        }
        await Task.WhenAll(workers.Select(worker => worker.Acknowledged.Task));
        await Eventually.BeTrueAsync(() => _pool.Snapshot.Members.Length == 3000, "all are members");

        changes.Should().BeLessThan(10);
    }

    [Test]
    public async Task Advance_ManyAreOverdueAtOnce_IsOneChangeOfThePool()
    {
        for (var i = 0; i < 20; i++)
        {
            await RegisterAsync($"w{i}");
            Add($"t{i}");
        }
        var changes = 0;
        _pool.SnapshotChanged += _ => changes++;

        _clock.Advance(TaskTimeout);

        (changes, _pool.Snapshot.Eligible.Length, _dispatcher.Waiting).Should().Be((1, 0, 20));
    }

    [Test]
    public async Task Answer_AfterBillionsOfAnswers_IsTakenAndRemembered()
    {
        var worker = await RegisterAsync("w");
        worker.Worker.Answers = int.MaxValue;

        foreach (var id in new[] { "a", "b", "c" })
        {
            Add(id);
            worker.Answer(id, "1").Should().Be(AnswerFate.Taken);
            worker.Answer(id, "2").Should().Be(AnswerFate.Dropped);
        }
    }

    [Test]
    public async Task Register_PoolFailsUnexpectedly_OthersJoinLater()
    {
        var errors = 1;
        var (pool, log) = (new BackendPool("tasks", new FaultyPolicy(() => errors-- > 0), []), new LogRecorder());
        using var dispatcher = new TaskDispatcher("tasks", pool, new TasksListenerOptions(), _clock, log);
        var task = new FakeTask("a");
        lock (dispatcher.Gate)
        {
            dispatcher.TryAddNeedsLock(task);
        }
        Register(dispatcher, "first", 1);
        await Eventually.BeTrueAsync(
            () => log.Lines.Any(
                line => line.StartsWith("Error", StringComparison.Ordinal) && line.Contains("it broke", StringComparison.Ordinal)),
            "it is logged");

        Register(dispatcher, "second", 1);

        await Eventually.BeTrueAsync(() => pool.Snapshot.Members.Length == 2 && dispatcher.Running == 1, "the second worker joins");
    }

    private FakeTask Add(string id)
    {
        var task = new FakeTask(id);
        lock (_dispatcher.Gate)
        {
            _dispatcher.TryAddNeedsLock(task);
        }
        return task;
    }

    private async Task<FakeWorker> RegisterAsync(string name, int capacity = 1)
    {
        var worker = Register(name, capacity);
        await worker.Acknowledged.Task;
        await Eventually.BeTrueAsync(() => _members.Contains(worker.Worker.Backend), "it is a member");
        await Eventually.BeTrueAsync(() => _members.All(member => !member.IsRemoved && member.MaxInFlight > 0), "who is gone has left");
        return worker;
    }

    private FakeWorker Register(string name, int capacity) => Register(_dispatcher, name, capacity);

    private static FakeWorker Register(TaskDispatcher dispatcher, string name, int capacity)
    {
        var worker = new FakeWorker(dispatcher);
        worker.Worker = dispatcher.Register(name, capacity, new IPEndPoint(IPAddress.Loopback, 1), worker);
        return worker;
    }

    private sealed class FakeTask(string id) : TaskItem(Encoding.UTF8.GetBytes(id), "data"u8, 0)
    {
        public string? Result { get; private set; }

        public bool IsFailure { get; private set; }

        public override void FinishNeedsLock(ReadOnlySpan<byte> result, bool isFailure = false)
        {
            Result.Should().BeNull("there is one result");
            (Result, IsFailure) = (Encoding.UTF8.GetString(result), isFailure);
        }
    }

    private sealed class FakeWorker(TaskDispatcher dispatcher) : IWorkerLink
    {
        public Worker Worker { get; set; } = null!;

        public TaskCompletionSource Acknowledged { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<string> Assigned { get; } = [];

        public string? ClosedBecause { get; private set; }

        public TaskCompletionSource? Unread { get; set; }

        public bool IsBroken { get; set; }

        public Task WhenReadAsync() => Unread?.Task ?? Task.CompletedTask;

        public AnswerFate Answer(string id, string result) =>
            dispatcher.Answer(Worker, Encoding.UTF8.GetBytes(id), Encoding.UTF8.GetBytes(result));

        public void Acknowledge(Worker worker) => Acknowledged.TrySetResult();

        public void Assign(TaskItem task)
        {
            Acknowledged.Task.IsCompleted.Should().BeTrue("a worker gets no task before its registration was acknowledged");
            Assigned.Add(Encoding.UTF8.GetString(task.Line));
        }

        public void Close(string reason) => ClosedBecause = reason;

        public void LetGo(string reason) => ClosedBecause = reason;
    }
}
