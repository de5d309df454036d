using System.Buffers;
using System.Runtime.InteropServices;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>What was received and not consumed, held against a list of bytes.</summary>
internal sealed class ReceiveBufferTests
{
    [Test]
    public void AnySteps_Always_HoldWhatWasReceivedAndNotConsumed()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var buffer = new ReceiveBuffer();
            var expected = new List<byte>();
            for (var step = 0; step < 200; step++)
            {
                var room = buffer.Room(100, 1000);
                room.Length.Should().BeGreaterThanOrEqualTo(100);
                var received = random.Next(room.Length + 1);
                random.NextBytes(room.Span[..received]);
                expected.AddRange(room.Span[..received]);
                buffer.Advance(received).Should().Be(received == room.Length);

                var removed = random.Next(expected.Count + 1);
                var at = random.Next(expected.Count - removed + 1);
                expected.RemoveRange(at, removed);
                buffer.Remove(at, removed);
                var consumed = random.Next(3) == 0 ? expected.Count : random.Next(expected.Count + 1);
                expected.RemoveRange(0, consumed);
                buffer.Consume(consumed);

                buffer.Span.ToArray().Should().Equal(expected, $"seed {seed}, step {step}");
                buffer.IsEmpty.Should().Be(expected.Count == 0);
            }
            buffer.Release();
            buffer.IsEmpty.Should().BeTrue();
        }
    }

    [Test]
    public void Room_AfterALongMessage_IsSmallAgain()
    {
        var buffer = new ReceiveBuffer();
        buffer.Advance(buffer.Room(100_000, 1000).Length);
        buffer.Consume(buffer.Length);

        buffer.Room(100, 1000).Length.Should().BeLessThan(10_000);
        buffer.Release();
    }

    // What the pool keeps, it keeps for good.
    [TestCase(100_000, true)]
    [TestCase(1_000_000, false)]
    public void Release_LongMessage_GivesOnlyModerateMemoryToThePool(int length, bool isPooled)
    {
        var buffer = new ReceiveBuffer();
        MemoryMarshal.TryGetArray<byte>(buffer.Room(length, length), out var memory).Should().BeTrue();

        buffer.Release();

        var next = ArrayPool<byte>.Shared.Rent(memory.Array!.Length);
        ReferenceEquals(next, memory.Array).Should().Be(isPooled);
        ArrayPool<byte>.Shared.Return(next);
    }
}
