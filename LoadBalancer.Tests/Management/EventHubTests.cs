using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
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

        var serving = hub.ServeAsync(context, ManagementUser.Nameless, default);
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

        var serving = hub.ServeAsync(context, ManagementUser.Nameless, stopping.Token);
        await stopping.CancelAsync();

        await serving;
        System.Text.Encoding.UTF8.GetString(((MemoryStream)context.Response.Body).ToArray())
            .Should().StartWith("event: hello\ndata: {").And.Contain("\n\nevent: snapshot\ndata: {");
    }

    [Test]
    public async Task Dispose_WhileAChangeWaitsToBeSent_EndsTheHubWithoutAnError()
    {
        var pool = PoolOf(Unprobed("a"));
        var clock = new ActingClock(TimeSpan.FromMilliseconds(50)); // the pause after a change
        var hub = HubOf(pool, clock);
        clock.Act = hub.Dispose;
        await hub.StartAsync(CancellationToken.None);
        await Eventually.BeTrueAsync(() =>
        {
            pool.Change(() => pool.Snapshot.Members[0].Weight++);
            return hub.ExecuteTask!.IsCompleted;
        }, "the hub ends");

        hub.ExecuteTask!.Exception.Should().BeNull();
    }

    [Test]
    public async Task Start_HasReturned_CountsWhatComesNext()
    {
        var pool = PoolOf(Unprobed("a"));
        using var hub = HubOf(pool, new FakeTimeProvider());

        await hub.StartAsync(CancellationToken.None);

        // One second was looked at. A request that came before that would never be seen.
        hub.History(pool, [])["history"]![0]!["requestsPerSecond"]!.AsArray().Should().ContainSingle();
        await hub.StopAsync(CancellationToken.None);
    }

    private static EventHub HubOf(BackendPool pool, TimeProvider? time = null) =>
        new(
            () => [pool], () => [], () => [], () => [], new ErrorStatistics(TimeProvider.System), time ?? TimeProvider.System,
            NullLogger<EventHub>.Instance);

    /// <summary>A clock that does something just before the first timer of a length is armed.</summary>
    private sealed class ActingClock(TimeSpan length) : TimeProvider
    {
        public Action Act { get; set; } = () => { };

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime == length)
            {
                Act();
            }
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }

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
