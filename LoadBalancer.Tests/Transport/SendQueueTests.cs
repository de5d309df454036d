using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport;

internal sealed class SendQueueTests
{
    private static readonly Dictionary<string, Exception> Errors = new()
    {
        ["reset"] = new SocketException((int)SocketError.ConnectionReset),
        ["closed"] = new ObjectDisposedException("it"),
        ["TLS"] = new IOException("TLS: broken pipe"),
    };

    // An error that is not taken for the end would leave the queue sending for ever.
    [TestCase("reset")]
    [TestCase("closed")]
    [TestCase("TLS")]
    public async Task Flush_ConnectionIsBroken_SaysSoAndDrains(string end)
    {
        var error = Errors[end];
        var broken = new TaskCompletionSource<Exception?>();
        using var connection = new BrokenConnection(error);
        using var queue = new SendQueue(
            connection, SendLimits.None, TimeSpan.FromSeconds(30), _ => { }, broken.SetResult, TimeProvider.System, NullLogger.Instance);
        queue.Add(0, "hello"u8);
        var drained = queue.DrainAsync();

        queue.Flush();

        (await broken.Task).Should().BeSameAs(error);
        await drained;
    }

    [Test]
    public void Add_PeerReadsSlowly_IsSentInPiecesAndCountedMeanwhile()
    {
        var budget = new BufferBudget(long.MaxValue, TimeProvider.System);
        using var connection = new UnreadConnection([]);
        using var queue = new SendQueue(
            connection, SendLimits.None, TimeSpan.FromSeconds(30), queue => queue.Flush(), _ => { }, TimeProvider.System,
            NullLogger.Instance, budget.Join(() => { }));
        var random = new Random(1);
        var (sent, received) = (new List<byte>(), new List<byte>());
        foreach (var length in new[] { 10, 65_536, 1, 200_000, 65_535, 65_537, 3 })
        {
            var (first, second) = (new byte[length], new byte[length / 3]);
            random.NextBytes(first);
            random.NextBytes(second);
            queue.Add(1, first, second);
            sent.AddRange([.. first, .. second]);
        }
        (queue.Unsent, budget.Total).Should().Be((sent.Count, sent.Count));

        while (received.Count < sent.Count)
        {
            var piece = connection.Read();
            piece.Length.Should().BeInRange(1, 64 * 1024);
            received.AddRange(piece);
            (queue.Unsent, budget.Total).Should().Be((sent.Count - received.Count, sent.Count - received.Count));
        }

        received.Should().Equal(sent);
        queue.DrainAsync().IsCompleted.Should().BeTrue();
    }

    [Test]
    public void Dispose_BytesWait_AreCountedNoLonger()
    {
        var budget = new BufferBudget(long.MaxValue, TimeProvider.System);
        using var connection = new UnreadConnection([]);
        var queue = new SendQueue(
            connection, SendLimits.None, TimeSpan.FromSeconds(30), queue => queue.Flush(), _ => { }, TimeProvider.System,
            NullLogger.Instance, budget.Join(() => { }));
        queue.Add(1, new byte[200_000]);
        budget.Total.Should().Be(200_000);

        queue.Dispose();

        budget.Total.Should().Be(0);
    }

    private sealed class BrokenConnection(Exception error) : IConnection
    {
        public ValueTask SendAsync(ReadOnlyMemory<byte> data) => ValueTask.FromException(error);

        public ValueTask<int> ReceiveAsync(Memory<byte> memory) => ValueTask.FromException<int>(error);

        public ValueTask EndSendingAsync() => ValueTask.CompletedTask;

        public void Reset() => Dispose();

        public void Dispose()
        {
        }
    }
}
