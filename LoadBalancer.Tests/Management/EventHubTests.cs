using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging.Abstractions;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Management;

internal sealed class EventHubTests
{
    [Test]
    public async Task Serve_ReaderTakesNothing_IsDropped()
    {
        var pool = PoolOf(Unprobed("a"));
        using var hub = HubOf(pool);
        var aborted = new TaskCompletionSource();
        var context = new DefaultHttpContext();
        context.Response.Body = new StuckStream();
        context.Features.Set<IHttpRequestLifetimeFeature>(new Lifetime(aborted));

        var serving = hub.ServeAsync(context, default);
        serving.IsCompleted.Should().BeFalse("the first event is not taken");
        for (var i = 0; i < 20; i++)
        {
            hub.Note("something happened");
        }

        await aborted.Task;
        await serving;
    }

    [Test]
    public async Task Serve_NodeStops_Ends()
    {
        var pool = PoolOf(Unprobed("a"));
        using var hub = HubOf(pool);
        var context = new DefaultHttpContext { Response = { Body = new MemoryStream() } };
        using var stopping = new CancellationTokenSource();

        var serving = hub.ServeAsync(context, stopping.Token);
        await stopping.CancelAsync();

        await serving;
        System.Text.Encoding.UTF8.GetString(((MemoryStream)context.Response.Body).ToArray())
            .Should().StartWith("event: hello\ndata: {").And.Contain("\n\nevent: snapshot\ndata: {");
    }

    private static EventHub HubOf(BackendPool pool) =>
        new(
            () => [pool], () => [], () => [], new ErrorStatistics(TimeProvider.System), TimeProvider.System, NullLogger<EventHub>.Instance);

    /// <summary>The body towards a client that does not read: a write waits until it is cancelled.</summary>
    private sealed class StuckStream : MemoryStream
    {
        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);
    }

    private sealed class Lifetime(TaskCompletionSource aborted) : IHttpRequestLifetimeFeature
    {
        public CancellationToken RequestAborted { get; set; }

        public void Abort() => aborted.TrySetResult();
    }
}
