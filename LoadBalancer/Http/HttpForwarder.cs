using System.Runtime.CompilerServices;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http;

/// <summary>
/// Forwards one request to a backend of a pool and streams the response back, trying another backend where that is safe. One for
/// each pool; the steps of a request are those of <see cref="ForwardAsync"/>, top to bottom.
/// </summary>
public sealed partial class HttpForwarder
{
    private readonly BackendPool _pool;
    private readonly HttpClient _client;
    private readonly PoolOptions _options;
    private readonly RetryBudget _budget;
    private readonly CancellationToken _stopping;
    private readonly ILogger _logger;

    /// <summary>Makes the forwarder of a pool.</summary>
    /// <param name="pool">Where backends come from.</param>
    /// <param name="options">The pool's time-outs and retries.</param>
    /// <param name="client">Sends the requests; made over <see cref="CreateHandler"/>.</param>
    /// <param name="time">The clock of the retry budget.</param>
    /// <param name="logger">Told of each failed attempt, once.</param>
    /// <param name="stopping">Cancelled when the node is to stop; from then on every answer ends its connection.</param>
    public HttpForwarder(BackendPool pool, PoolOptions options, HttpClient client, TimeProvider time, ILogger<HttpForwarder> logger, CancellationToken stopping)
    {
        (_pool, _options, _client, _stopping, _logger) = (pool, options, client, stopping, logger);
        _budget = new RetryBudget(options.Retry.Budget, time);
        _client.Timeout = Timeout.InfiniteTimeSpan; // Time-outs are the handler's: a slow message that moves is never cut.
    }

    /// <summary>The handler that such a client stands on.</summary>
    public static HttpMessageHandler CreateHandler(PoolOptions options, TimeProvider time) => new UpstreamHandler(options, time);

    /// <summary>Forwards the request, or answers it with an error. Returns when the response is complete.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="isPeerTrusted">Whether the peer's word on who the client is counts (<see cref="ListenerOptions.TrustedProxies"/>).</param>
    /// <param name="record">The request's line in the access log, where there is one.</param>
    public async Task ForwardAsync(HttpContext context, bool isPeerTrusted, AccessRecord? record)
    {
        // 1. Refuse what is not for a backend, and what has come by here too often.
        var hasBody = !HttpMethods.IsConnect(context.Request.Method) && context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: true };
        var body = hasBody ? new RequestBody(context.Request) : null;
        var fault = RequestRules.Fault(context, hasBody);
        if (fault is not null)
        {
            await ErrorAnswer.WriteAsync(context, fault.Value);
            return;
        }

        _budget.CountRequest();
        var error = ForwardError.NoBackend;
        List<Backend>? tried = null;
        for (var attempts = 0; attempts < _options.Retry.Attempts;)
        {
            // 2. Choose a backend that was not tried yet. At start the first probes may still be under way.
            if (!_pool.Settled.IsCompleted)
            {
                await _pool.Settled.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (context.RequestAborted.IsCancellationRequested)
                {
                    error = ForwardError.ClientGone;
                    break;
                }
            }
            if (!_pool.TryAcquire(new SelectionContext(tried), out var lease))
            {
                break;
            }
            using (lease)
            {
                // 3. Send the request, and copy the answer once its head is there.
                var failure = await TryForwardAsync(context, lease, body, isPeerTrusted, record);
                if (failure is null)
                {
                    return;
                }

                // 4. Go on to the next backend, where the client cannot come to harm by it.
                error = failure.Value;
                (tried ??= []).Add(lease.Backend);
                if (error.Outcome() == AttemptOutcome.Abandoned || body is { Consumed: true })
                {
                    break;
                }
                if (error.Outcome() == AttemptOutcome.ConnectFailed)
                {
                    continue; // Nothing was sent: always safe, and no load on anybody.
                }
                attempts++;
                if (error != ForwardError.ResponseHead || !IsIdempotent(context.Request.Method) || attempts == _options.Retry.Attempts || !_budget.TryTakeRetry())
                {
                    break;
                }
            }
        }
        await ErrorAnswer.WriteAsync(context, error);
    }

    /// <summary>One attempt: null where the request is dealt with, for better or worse; else why it is not, and nothing was sent to the client.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ForwardError?> TryForwardAsync(HttpContext context, BackendLease lease, RequestBody? body, bool isPeerTrusted, AccessRecord? record)
    {
        for (var secondTry = false; ; secondTry = true)
        {
            using var request = new ForwardRequest(context, lease.Backend, body, isPeerTrusted) { WantsFreshConnection = secondTry };
            Exchange? exchange = null;
            try
            {
                exchange = (Exchange)await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
                await exchange.ReadHeadAsync();
                exchange.CopyHead(context.Response);
                if (record is not null)
                {
                    (record.Pool, record.Backend) = (_pool.Name, lease.Backend.Name);
                }
                if (exchange.Status == StatusCodes.Status101SwitchingProtocols)
                {
                    await exchange.TunnelAsync(context);
                    lease.Complete(AttemptOutcome.Succeeded);
                    return null;
                }
                if ((_stopping.IsCancellationRequested || exchange.IsUploadRefused) && HttpProtocol.IsHttp11(context.Request.Protocol))
                {
                    context.Response.Headers.Connection = "close";
                }
                var broken = await exchange.CopyBodyAsync(context);
                var clientGone = exchange.IsClientGone;
                if (body is not null)
                {
                    await exchange.EndUploadAsync();
                }
                Settle(context, exchange, lease, clientGone, broken, record);
                return null;
            }
            catch (ForwardException e)
            {
                if (exchange is not null)
                {
                    await exchange.EndUploadAsync();
                }
                if (e.IsStale && !secondTry && body is not { Consumed: true } && IsIdempotent(context.Request.Method))
                {
                    continue;
                }
                var outcome = e.IsStale ? AttemptOutcome.Abandoned : e.Error.Outcome();
                lease.Complete(outcome, e.Message);
                if (outcome != AttemptOutcome.Abandoned)
                {
                    LogAttemptFailed(_pool.Name, lease.Backend.Name, e.Error, e.Message);
                }
                return e.Error;
            }
            finally
            {
                exchange?.Dispose();
            }
        }
    }

    private void Settle(HttpContext context, Exchange exchange, BackendLease lease, bool clientGone, string? broken, AccessRecord? record)
    {
        if (record is not null)
        {
            record.Bytes = exchange.BytesRelayed;
            record.Status = clientGone ? StatusCodes.Status499ClientClosedRequest : 0;
        }
        if (clientGone)
        {
            context.Abort();
        }
        else if (broken is not null)
        {
            lease.Complete(AttemptOutcome.Failed, broken);
            LogResponseBroken(_pool.Name, lease.Backend.Name, broken);
            context.Abort(); // The client must see that its response is not whole.
        }
        else
        {
            exchange.Complete();
            lease.Complete(AttemptOutcome.Succeeded);
        }
    }

    // RFC 9110 section 9.2.2, less what is rarely tested to be so.
    private static bool IsIdempotent(string method) =>
        method is "GET" or "HEAD" or "OPTIONS" or "PUT" or "DELETE";

    [LoggerMessage(10, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' failed a request: {Error}, {Reason}")]
    private partial void LogAttemptFailed(string pool, string backend, ForwardError error, string reason);

    [LoggerMessage(11, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' broke off in the middle of a response: {Reason}")]
    private partial void LogResponseBroken(string pool, string backend, string reason);
}
