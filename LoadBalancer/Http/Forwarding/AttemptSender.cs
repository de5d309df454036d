using System.Runtime.CompilerServices;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Sends a request of a pool to one backend or, hedged, to two, and waits for the head of a response.</summary>
internal sealed partial class AttemptSender(
    BackendPool pool, UpstreamClient upstream, RetryBudget budget, Hedge? hedge, TimeProvider time, ILogger logger)
{
    /// <summary>When a request goes to a second backend; null where the pool does not hedge.</summary>
    public Hedge? Hedge => hedge;

    /// <summary>How long the first backend has before a second one is asked; null where the request is not hedged.</summary>
    public TimeSpan? HedgeDelay(HttpContext context, bool hasBody) =>
        hedge is not null && hedge.CanHedge(context, hasBody) ? hedge.Delay : null;

    /// <summary>Sends the request to the backend of a lease, and waits for the head of its response.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="lease">The backend; the lease is completed where there is no response.</param>
    /// <param name="body">The request's body, if it has one.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    /// <param name="routed">What the request's route changes.</param>
    /// <param name="superseded">Cancelled when another attempt was faster, or the route's time is over.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Attempt> SendAsync(
        HttpContext context, BackendLease lease, RequestBody? body, bool isPeerTrusted, RoutedRequest? routed, CancellationToken superseded)
    {
        var trace = RequestTrace.Find(context)?.BeginAttempt(pool.Name, lease.Backend, routed?.Target);
        try
        {
            var exchange = await upstream.SendAsync(context, lease.Backend, body, isPeerTrusted, superseded, routed, trace);
            var elapsed = lease.ObserveResponse();
            hedge?.Observe(elapsed);
            trace?.SetResponse(exchange.Status, exchange.ProtocolVersion);
            return new Attempt(exchange, lease, elapsed);
        }
        catch (ForwardException e)
        {
            if (e.Error == ForwardError.ResponseTimeout || superseded.IsCancellationRequested)
            {
                var elapsed = lease.ObserveNoResponse();
                hedge?.Observe(elapsed);
            }
            lease.Complete(e.Outcome, e.Message, e.Error.FailureKind());
            var isCancelled = superseded.IsCancellationRequested || e.Error == ForwardError.ClientGone;
            trace?.End(isCancelled ? AttemptTrace.Cancelled : e.Error.Response().ProxyStatus);
            if (e.Outcome != AttemptOutcome.Abandoned)
            {
                LogAttemptFailed(pool.Name, lease.Backend.Name, e.Error, e.Message);
            }
            var failure = new AttemptFailure(e.Error, e.Message, lease.Backend);
            return new Attempt(null, lease, default, failure);
        }
        catch
        {
            lease.Dispose();
            trace?.End(ForwardError.Internal.Response().ProxyStatus);
            throw;
        }
    }

    /// <summary>
    /// The same, and if there is no response after the delay, also to a second backend. The first response is used; the other attempt is
    /// cancelled.
    /// </summary>
    public async ValueTask<Attempt> SendHedgedAsync(
        HttpContext context, BackendLease lease, bool isPeerTrusted, RoutedRequest? routed, TimeSpan delay, List<Backend> tried,
        ulong clientHash)
    {
        var firstSuperseded = Superseded(routed);
        var first = SendAsync(context, lease, null, isPeerTrusted, routed, firstSuperseded.Token).AsTask();
        await ((Task)first).WaitAsync(delay, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var selection = new SelectionContext([.. tried, lease.Backend], clientHash, isHedge: true);
        if (first.IsCompleted || !pool.HasUntried(selection) || pool.RequestQueue.Count > 0 || !budget.TryTakeRetry()
            || !pool.TryAcquireInTurn(selection, out var otherLease))
        {
            return await first;
        }
        pool.Statistics.CountHedge();
        tried.Add(otherLease.Backend);
        var secondSuperseded = Superseded(routed);
        var second = SendAsync(context, otherLease, null, isPeerTrusted, routed, secondSuperseded.Token).AsTask();
        var isFirst = await Task.WhenAny(first, second) == first;
        var (faster, slower) = isFirst ? (first, second) : (second, first);
        if (faster.IsCompletedSuccessfully && (await faster).Exchange is null)
        {
            return await slower; // Whatever its result.
        }
        // Also where the faster one has ended by an error that nobody expected: the other's response would belong to nobody.
        await (isFirst ? secondSuperseded : firstSuperseded).CancelAsync();
        var released = ReleaseAsync(slower);
        return await faster with { SlowerAttempt = released };
    }

    // Not disposed of: the route's limit holds for the response too, which is relayed afterwards. It lets go of them when the request ends.
    private static CancellationTokenSource Superseded(RoutedRequest? routed) =>
        CancellationTokenSource.CreateLinkedTokenSource(routed?.Limit ?? default);

    // The slower attempt may have got a response too, just before it was cancelled.
    private static async Task ReleaseAsync(Task<Attempt> slower)
    {
        var late = await slower;
        late.Exchange?.Trace?.End(AttemptTrace.Cancelled);
        late.Exchange?.Dispose();
        late.Lease.Dispose();
    }

    [LoggerMessage(10, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' failed a request: {Error}, {Reason}")]
    private partial void LogAttemptFailed(string pool, string backend, ForwardError error, string reason);
}
