using System.IO.Pipelines;
using LoadBalancer.Http.Server;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>A pipe as a stream.</summary>
internal sealed class PipeStreamTests
{
    [Test]
    public async Task Read_SeveralSegments_ReturnsHowManyBytesItCopied()
    {
        var pipe = new Pipe(new PipeOptions(minimumSegmentSize: 16));
        for (var i = 0; i < 100; i++)
        {
            await pipe.Writer.WriteAsync(new byte[100 + i]);
        }
        await pipe.Writer.CompleteAsync();
        await using var stream = new PipeStream(new Duplex(pipe.Reader));

        var (total, buffer) = (0, new byte[1000]);
        while (await stream.ReadAsync(buffer) is > 0 and var count)
        {
            count.Should().BeLessThanOrEqualTo(buffer.Length);
            total += count;
        }

        total.Should().Be(Enumerable.Range(0, 100).Sum(i => 100 + i));
    }

    private sealed record Duplex(PipeReader Input) : IDuplexPipe
    {
        public PipeWriter Output => throw new NotSupportedException();
    }
}
