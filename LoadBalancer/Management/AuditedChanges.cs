using System.Globalization;
using LoadBalancer.Net;
using Microsoft.Net.Http.Headers;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>
/// The one place through which every change by operators goes, whether from the dashboard, a command or a program. Changes of pools come
/// one at a time, so that a condition that held when a change was asked for still holds when it is made.
/// </summary>
/// <param name="audit">Gets an entry for each.</param>
/// <param name="events">Tells its readers who has made a change.</param>
/// <param name="isBeingReplaced">Whether a change of a pool would be lost, because another process takes over.</param>
internal sealed class AuditedChanges(AuditLog audit, EventHub events, Func<bool> isBeingReplaced) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);

    /// <summary>What was done.</summary>
    public AuditLog Audit => audit;

    /// <summary>Makes a change of a pool or of a backend when it has its turn, and answers the request.</summary>
    /// <param name="request">The request that asks for it.</param>
    /// <param name="action">What is to be done: <see cref="AuditAction"/>.</param>
    /// <param name="pool">The pool.</param>
    /// <param name="backend">The backend; null where the pool is to be changed.</param>
    /// <param name="change">Makes the change, or says why not.</param>
    public async Task RunAsync(ApiRequest request, string action, string pool, string? backend, Func<Task<ChangeOutcome>> change)
    {
        var turn = _turn.WaitAsync(request.Context.RequestAborted);
        await turn.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (turn.IsCanceled)
        {
            return; // The client has gone, so that nobody would learn what became of its change.
        }
        Func<Task> answer;
        try
        {
            answer = await RecordAsync(request, action, pool, backend, await (isBeingReplaced()
                ? Task.FromResult(ChangeOutcome.Refused(
                    Status409Conflict,
                    "this process is being replaced, and the change would be lost; try again over a new connection"))
                : events.AttributeAsync(request.User, change)));
        }
        finally
        {
            _turn.Release();
        }
        await answer(); // Others do not wait for a client that takes nothing.
    }

    /// <summary>Does something with the whole node, and answers the request.</summary>
    public async Task RunAsync(ApiRequest request, string action, Func<Task<ChangeOutcome>> change) =>
        await (await RecordAsync(request, action, null, null, await change()))();

    /// <summary>Adds an entry for something that begins.</summary>
    public Task<AuditEntry> BeginAsync(ApiRequest request, string action) =>
        audit.AddAsync(EntryOf(request, action, null, null) with { Result = AuditEntry.Started });

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    // Adds the entry, and makes the answer as things are now; gives what sends it.
    private async Task<Func<Task>> RecordAsync(ApiRequest request, string action, string? pool, string? backend, ChangeOutcome result)
    {
        var entry = result.Entry ?? await audit.AddAsync(EntryOf(request, action, pool, backend) with
        {
            From = result.From,
            To = result.To,
            Result = result.Error is null ? AuditEntry.Done : AuditEntry.Refused,
            Error = result.Error,
        });
        var headers = request.Context.Response.Headers;
        headers["Audit-Id"] = entry.Id.ToString(CultureInfo.InvariantCulture);
        if (pool is not null && result.To is { } settings)
        {
            headers[HeaderNames.ETag] = Preconditions.TagOf(settings);
        }
        var body = result.Body?.Invoke(entry);
        return () => body is null
            ? request.RefuseAsync(result.Status, result.Error ?? "") : request.AnswerAsync(body, result.Status);
    }

    private static AuditEntry EntryOf(ApiRequest request, string action, string? pool, string? backend) => new(
        request.User.Name, UnixPeers.Text(request.Context.Connection.RemoteIpAddress?.Unmap()), action, pool, backend);
}
