using System.Net;
using System.Text;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tasks;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Tasks;

/// <summary>What a peer that sends and does not read may make the load balancer keep for it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class LineSessionTests : IDisposable
{
    private const int OwnAllowance = 64 * 1024;

    private readonly FakeClock _clock = new();
    private readonly List<string> _rejected = [];
    private readonly BackendPool _pool = new("tasks", new RoundRobinPolicy(), []);
    private readonly BufferBudget _buffers;
    private readonly TaskDispatcher _dispatcher;

    public LineSessionTests()
    {
        _buffers = new BufferBudget(long.MaxValue, _clock);
        _dispatcher = new TaskDispatcher("tasks", _pool, new TasksListenerOptions(), _clock, NullLogger.Instance);
    }

    public void Dispose() => _dispatcher.Dispose();

    [Test]
    public async Task Client_CausesErrorsAndReadsNothing_IsReadNoFurtherAndThenClosed()
    {
        using var connection = new UnreadConnection(Lines("TASK|the same id|data", 10_000));

        var serving = NewClient(connection).RunAsync();

        serving.IsCompleted.Should().BeFalse();
        _buffers.Total.Should().BeInRange(OwnAllowance, OwnAllowance + 100);
        connection.Received.Should().BeLessThan(2 * OwnAllowance);
        _clock.Advance(TimeSpan.FromSeconds(100));
        await serving.WaitAsync(TimeLimits.Event);
        connection.IsClosed.Should().BeTrue("it has read nothing for the time that the pool allows");
        _buffers.Total.Should().Be(0);
    }

    [Test]
    public async Task Client_ReadsAtLast_IsReadFurther()
    {
        using var connection = new UnreadConnection(Lines("TASK|the same id|data", 10_000));
        var serving = NewClient(connection).RunAsync();
        var before = connection.Received;

        connection.Read();
        connection.Read();

        await Eventually.BeTrueAsync(() => connection.Received > before, "it reads on");
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
    }

    [Test]
    public async Task Client_QueueIsFullAndItReadsNothing_IsReadNoFurther()
    {
        var lines = string.Concat(Enumerable.Range(0, 10_000).Select(i => $"TASK|{i}|data\n"));
        using var connection = new UnreadConnection(Encoding.UTF8.GetBytes(lines));

        var serving = NewClient(connection, queueLimit: 1).RunAsync();

        _buffers.Total.Should().BeInRange(OwnAllowance, OwnAllowance + 100);
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
    }

    [Test]
    public async Task Worker_RepeatsItsRegistrationAndReadsNothing_IsReadNoFurther()
    {
        using var connection = new UnreadConnection(Lines("REGISTER|w", 100_000));

        var serving = new WorkerSession(Accepted(connection), Settings(), _dispatcher).RunAsync();

        _buffers.Total.Should().BeInRange(OwnAllowance, OwnAllowance + 100);
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
    }

    [Test]
    public async Task Client_PartOfALongLine_IsCountedUntilItIsWhole()
    {
        using var connection = new UnreadConnection([.. "TASK|a|"u8, .. new byte[60_000]]);

        var serving = NewClient(connection).RunAsync();

        _buffers.Total.Should().BeInRange(60_000, 128 * 1024);
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
        _buffers.Total.Should().Be(0);
    }

    [TestCase("X")]
    [TestCase("TASK||data")]
    public async Task Client_HundredMalformedLinesInARow_IsRejected(string line)
    {
        using var connection = new UnreadConnection(Lines(line, 1000));

        var serving = NewClient(connection).RunAsync();

        _rejected.Should().Equal("100 malformed lines in a row");
        var told = Encoding.UTF8.GetString(connection.Read()).Split('\n');
        told[..^1].Should().HaveCount(101).And.OnlyContain(text => text.StartsWith("ERROR|"));
        told[^2].Should().Be("ERROR|100 malformed lines in a row");
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
    }

    [Test]
    public async Task Client_ValidLinesBetweenMalformedOnes_IsNotRejected()
    {
        using var connection = new UnreadConnection([.. Lines("X", 99), .. Lines("TASK|a|1", 1)]);

        var serving = NewClient(connection).RunAsync();

        _rejected.Should().BeEmpty();
        connection.Dispose();
        await serving.WaitAsync(TimeLimits.Event);
    }

    private static byte[] Lines(string line, int count) => Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(line + "\n", count)));

    private static AcceptedConnection Accepted(ISocketConnection connection) =>
        new(connection, new IPEndPoint(IPAddress.Loopback, 1), new IPEndPoint(IPAddress.Loopback, 2));

    private ClientSession NewClient(ISocketConnection connection, int queueLimit = 10_000) => new(
        Accepted(connection), Settings(), _dispatcher, new MemoryTaskQueue(_dispatcher, () => queueLimit), _pool.Statistics);

    private SessionSettings Settings() => new(
        64 * 1024, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(100), _buffers, (_, reason) => _rejected.Add(reason), _clock,
        NullLogger.Instance);
}
