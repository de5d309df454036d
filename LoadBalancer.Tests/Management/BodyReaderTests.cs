using System.Buffers;
using System.IO.Pipelines;
using LoadBalancer.Management;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Tests.Management;

[Parallelizable]
internal sealed class BodyReaderTests
{
    [Test]
    public async Task Read_BodyComesLater_GoesOnOffTheEventLoopThatHasBroughtIt()
    {
        var pipe = new Pipe(new PipeOptions(readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));
        var context = new DefaultHttpContext();
        context.Features.Set<IRequestBodyPipeFeature>(new Body(pipe.Reader));

        var reading = ReadAsync();
        var loop = new Thread(() =>
        {
            pipe.Writer.Write("{}"u8);
            pipe.Writer.Complete();
        });
        loop.Start();

        (await reading).Should().BeTrue("other clients wait for the thread that has read the body");

        async Task<bool> ReadAsync()
        {
            (await new BodyReader(TimeProvider.System).ReadJsonAsync(context)).Should().NotBeNull();
            return Thread.CurrentThread.IsThreadPoolThread;
        }
    }

    private sealed class Body(PipeReader reader) : IRequestBodyPipeFeature
    {
        public PipeReader Reader => reader;
    }
}
