using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Management;

[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AuditedChangesTests : IDisposable
{
    private readonly AuditLog _audit = new(TimeProvider.System, NullLogger<AuditLog>.Instance);
    private readonly EventHub _events = new(
        () => [], () => [], () => [], () => [], new ErrorStatistics(TimeProvider.System), TimeProvider.System,
        NullLogger<EventHub>.Instance);

    private readonly AuditedChanges _changes;

    public AuditedChangesTests() => _changes = new AuditedChanges(_audit, _events, () => false);

    public void Dispose()
    {
        _changes.Dispose();
        _events.Dispose();
    }

    [Test]
    public async Task Run_ClientTakesNoAnswer_OthersHaveTheirTurn()
    {
        using var stuck = new StuckStream();
        var first = RunAsync(new DefaultHttpContext { Response = { Body = stuck } }, DoneAsync);
        var context = new DefaultHttpContext { Response = { Body = new MemoryStream() } };

        var second = RunAsync(context, DoneAsync);

        second.IsCompletedSuccessfully.Should().BeTrue();
        (first.IsCompleted, context.Response.StatusCode, context.Response.Body.Length).Should().Be((false, 200, 2));
        _audit.Entries.Should().HaveCount(2);
        stuck.Taken.SetResult();
        await first;
    }

    [Test]
    public async Task Run_ClientHasGoneBeforeItsTurn_ChangesNothing()
    {
        var change = new TaskCompletionSource<ChangeOutcome>();
        var first = RunAsync(new DefaultHttpContext(), () => change.Task);
        using var gone = new CancellationTokenSource();
        var second = RunAsync(new DefaultHttpContext { RequestAborted = gone.Token }, DoneAsync);

        await gone.CancelAsync();
        await second;

        _audit.Entries.Should().BeEmpty();
        change.SetResult(await DoneAsync());
        await first;
        _audit.Entries.Should().ContainSingle("the turn was given back once");
    }

    private static Task<ChangeOutcome> DoneAsync() =>
        Task.FromResult(ChangeOutcome.Done(null, null, _ => new System.Text.Json.Nodes.JsonObject()));

    private Task RunAsync(HttpContext context, Func<Task<ChangeOutcome>> change) =>
        _changes.RunAsync(new ApiRequest(context, null!, ManagementUser.Nameless, []), AuditAction.Patch, "web", null, change);

    /// <summary>The body towards a client that takes nothing for a while.</summary>
    private sealed class StuckStream : MemoryStream
    {
        public TaskCompletionSource Taken { get; } = new();

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            await Taken.Task;
    }
}
