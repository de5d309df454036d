using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// Sends copies of requests to a pool, each once, and throws their answers away. They never wait for a backend, and are not in the pool's
/// statistics of answers. A connection that cannot be opened takes a backend out of use, as for any request; nothing else of a copy says
/// anything about one.
/// </summary>
internal sealed class MirrorSender(
    BackendPool pool, UpstreamClient upstream, PoolOptions options, RequestHash? hash, TimeProvider time, ILogger logger)
{
    /// <summary>How many copies may be in flight, or wait for the rest of their bodies.</summary>
    public const int MaxInFlight = 256;

    // A pool that fails one copy after the other gets none for a while: each failure costs more than an answer.
    private const int MaxFailuresInRow = 10;
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private int _inFlight;
    private int _failuresInRow;
    private long _lastFailure;

    /// <summary>Takes a place among those in flight; <see cref="Send"/> gives it back.</summary>
    /// <returns>False where there is none, or the pool has just failed too many.</returns>
    public bool TryEnter()
    {
        if (Volatile.Read(ref _failuresInRow) >= MaxFailuresInRow && time.GetElapsedTime(Volatile.Read(ref _lastFailure)) < Pause)
        {
            return false;
        }
        if (Interlocked.Increment(ref _inFlight) <= MaxInFlight)
        {
            return true;
        }
        Interlocked.Decrement(ref _inFlight);
        return false;
    }

    /// <summary>Sends a copy, when its body has ended; returns at once.</summary>
    /// <param name="copy">The copy.</param>
    /// <param name="count">Gets what has become of it.</param>
    public void Send(MirroredRequest copy, Action<MirrorResult> count) =>
        BackgroundTask.Run(SendAsync(copy, count), logger, $"pool '{pool.Name}': a mirrored request");

    private async Task SendAsync(MirroredRequest copy, Action<MirrorResult> count)
    {
        var result = MirrorResult.Failed;
        try
        {
            using var late = new CancellationTokenSource(copy.Routed.Rules.ResponseTimeout ?? options.Timeouts.Response, time);
            result = await TrySendAsync(copy, late.Token);
        }
        finally
        {
            Observe(result);
            copy.Routed.Dispose();
            Interlocked.Decrement(ref _inFlight);
            count(result);
        }
    }

    private void Observe(MirrorResult result)
    {
        if (result == MirrorResult.Answered)
        {
            Volatile.Write(ref _failuresInRow, 0);
        }
        else if (result == MirrorResult.Failed)
        {
            Volatile.Write(ref _lastFailure, time.GetTimestamp());
            Interlocked.Increment(ref _failuresInRow);
        }
    }

    private async ValueTask<MirrorResult> TrySendAsync(MirroredRequest copy, CancellationToken late)
    {
        var context = copy.Routed.Context;
        RequestBody? body = null;
        if (copy.Body is { } kept)
        {
            await ((Task)kept.Whole).WaitAsync(late).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!kept.Whole.IsCompleted || await kept.Whole is not { } whole)
            {
                return kept.IsTooLarge ? MirrorResult.TooLarge : MirrorResult.Incomplete;
            }
            context.Request.Body = new MemoryStream(whole.ToArray(), writable: false);
            body = new RequestBody(context.Request, time, copy.Routed);
        }
        if (!pool.TryAcquireInTurn(new SelectionContext(null, hash?.Of(context.Request, copy.Routed.Client) ?? 0), out var lease))
        {
            return MirrorResult.Dropped;
        }
        using (lease)
        {
            copy.Routed.BeginForwarding(pool.Name, options.Timeouts, time);
            try
            {
                using var exchange = await upstream.SendAsync(context, lease.Backend, body, copy.IsPeerTrusted, late, copy.Routed);
                lease.ObserveResponse();
                return await TryReadAsync(exchange, context) ? MirrorResult.Answered : MirrorResult.Failed;
            }
            catch (ForwardException e)
            {
                if (e.Outcome == AttemptOutcome.ConnectFailed)
                {
                    lease.Complete(e.Outcome, e.Message, e.Error.FailureKind());
                }
                return MirrorResult.Failed;
            }
        }
    }

    private static async ValueTask<bool> TryReadAsync(Exchange exchange, HttpContext context)
    {
        var broken = await exchange.CopyBodyAsync(context); // to nowhere
        await exchange.EndUploadAsync();
        await context.Response.CompleteAsync();
        if (broken is not null || exchange.IsClientGone)
        {
            return false;
        }
        exchange.Complete();
        return true;
    }
}
