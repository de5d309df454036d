using System.Net.Sockets;
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
