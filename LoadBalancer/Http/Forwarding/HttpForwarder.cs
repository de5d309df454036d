using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// Forwards one request to a backend of a pool and streams the response back; tries another backend where that is safe. There is one
/// for each pool. <see cref="ForwardAsync"/> has the steps of a request, from top to bottom.
/// </summary>
public sealed partial class HttpForwarder
{
    private const string Incomplete = "http_response_incomplete"; // RFC 9209 section 2.3.15

    private readonly BackendPool _pool;
    private readonly PoolOptions _options;
    private readonly RetryBudget _budget;
    private readonly StickySessions? _sticky;
    private readonly AttemptSender _sender;
    private readonly TimeProvider _time;
    private readonly ErrorStatistics _errors;
    private readonly CancellationToken _stopping;
    private readonly ILogger _logger;

    /// <summary>Makes the forwarder of a pool.</summary>
    /// <param name="pool">Chooses the backends.</param>
    /// <param name="options">The pool's time-outs, retries, queue, hedging and sticky sessions.</param>
    /// <param name="stickyKey">The key of its sticky sessions, where it has any.</param>
    /// <param name="client">Sends the requests; made over <see cref="CreateHandler"/>, without a time-out of its own.</param>
    /// <param name="time">The clock of the retry budget, the queue and hedging.</param>
    /// <param name="errors">Counts each error that a client sees.</param>
    /// <param name="logger">Gets each failed attempt, once.</param>
    /// <param name="stopping">Cancelled when the node is to stop; from then on every response ends its connection.</param>
    /// <param name="before">The forwarder that it replaces; budget and response times are taken over where the options are equal.</param>
    public HttpForwarder(
        BackendPool pool, PoolOptions options, StickySecret? stickyKey, HttpClient client, TimeProvider time, ErrorStatistics errors,
        ILogger<HttpForwarder> logger, CancellationToken stopping, HttpForwarder? before = null)
    {
        (_pool, _options, _time, _errors, _stopping, _logger) = (pool, options, time, errors, stopping, logger);
        _budget = before?._options.Retry.Budget == options.Retry.Budget ? before._budget : new RetryBudget(options.Retry.Budget, time);
        _sticky = options.StickySession is { } sticky ? new StickySessions(pool, sticky, stickyKey!) : null;
        var upstream = new UpstreamClient(client);
        _sender = new AttemptSender(pool, upstream, _budget, HedgeOf(options, before), time, logger);
        Hash = options.IsHashed ? new RequestHash(options.HashKey) : null;
        Mirrors = new MirrorSender(pool, upstream, options, Hash, time, logger);
    }

    /// <summary>Sends copies of other pools' requests to this one.</summary>
    internal MirrorSender Mirrors { get; }

    /// <summary>Hashes what the pool's policy wants of a request, for <see cref="ForwardAsync"/>; null where it wants nothing.</summary>
    internal RequestHash? Hash { get; }

    /// <summary>Whether a request has the cookie of a sticky session with one of the pool's backends.</summary>
    public bool HasSessionOf(HttpRequest request) => _sticky?.Find(request) is not null;

    /// <summary>Makes the handler for a pool's <see cref="HttpClient"/>.</summary>
    public static HttpMessageHandler CreateHandler(PoolOptions options, BackendTrust trust, TimeProvider time) =>
        new UpstreamHandler(options, trust, time);

    /// <summary>Forwards the request, or responds with an error. Returns when the response is complete.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="isPeerTrusted">Whether the peer is one of <see cref="HttpListenerOptions.TrustedProxies"/>.</param>
    /// <param name="record">The request's line in the access log, where there is one.</param>
    /// <param name="clientHash">See <see cref="Hash"/>; 0 where that is null.</param>
    /// <param name="routed">What its route changes; null where it changes nothing.</param>
    internal async Task ForwardAsync(
        HttpContext context, bool isPeerTrusted, AccessRecord? record, ulong clientHash, RoutedRequest? routed = null)
    {
        var start = _time.GetTimestamp();
        Exception? unexpected = null;
        try
        {
            // 1. Reject a request that must not be forwarded, or is in a loop.
            var hasBody = !HttpMethods.IsConnect(context.Request.Method)
                && RequestRules.CanHaveBody(context);
            var body = hasBody ? new RequestBody(context.Request, _time, routed) : null;
            if (RequestRules.FindError(context, hasBody, routed?.Rules.Via) is { } invalid)
            {
                await RespondWithErrorAsync(context, invalid, start, routed);
                return;
            }

            _budget.CountRequest();
            routed?.BeginForwarding(_pool.Name, _options.Timeouts, _time);
            var own = UpstreamClient.BoundBackend(context, _pool) ?? _sticky?.Find(context.Request);
            var failure = AttemptFailure.NoBackend;
            List<Backend>? tried = null;
            for (var attempts = 0; attempts < MaxAttempts(routed);)
            {
                // 2. Choose a backend that was not tried yet, the client's own first; where all are at their limit wait in the queue.
                var selection = new SelectionContext(tried, clientHash);
                if (!TryChoose(selection, own, out var lease))
                {
                    var admission = await _pool.AcquireAsync(
                        selection, _options.Queue.Timeout, _time, routed?.Ended ?? context.RequestAborted);
                    if (!admission.IsAdmitted)
                    {
                        // What became of the request itself says more.
                        failure = tried is null ? new AttemptFailure(ErrorOf(admission.Rejection)) : failure;
                        break;
                    }
                    lease = admission.Lease;
                }

                if (tried is not null)
                {
                    _pool.Statistics.CountRetry();
                }

                record?.Attempts = record.Attempts + 1;

                // 3. Send the request, and relay the response once its head is there.
                var sent = _sender.HedgeDelay(context, hasBody) is { } delay
                    ? await _sender.SendHedgedAsync(context, lease, isPeerTrusted, routed, delay, tried ??= [], clientHash)
                    : await _sender.SendAsync(context, lease, body, isPeerTrusted, routed, routed?.Limit ?? default);
                if (sent.Exchange is not null)
                {
                    await RelayAsync(context, sent, body, own, isPeerTrusted, routed, record, start);
                    return;
                }

                // 4. Go on to the next backend, where it is safe for the client.
                failure = sent.Failure!;
                (tried ??= []).Add(sent.Lease.Backend);
                if (record is not null)
                {
                    (record.Pool, record.Backend) = (_pool.Name, sent.Lease.Backend.Name);
                }
                if (failure.Error.Outcome() == AttemptOutcome.Abandoned || body is { IsUsedUp: true })
                {
                    break;
                }
                if (failure.Error.Outcome() == AttemptOutcome.ConnectFailed)
                {
                    continue; // Nothing was sent: always safe, and no load on a backend.
                }
                attempts++;
                if (failure.Error != ForwardError.ResponseHead || !RequestRules.IsIdempotent(context.Request.Method)
                    || attempts == MaxAttempts(routed) || !_budget.TryTakeRetry())
                {
                    break;
                }
            }
            if (failure.Error == ForwardError.ClientGone && routed is { IsLate: true })
            {
                failure = new AttemptFailure(ForwardError.ResponseTimeout, routed.LateReason);
            }
            await RespondWithErrorAsync(context, failure.Error, start, routed, failure.Cause, failure.Backend);
        }
        catch (Exception e) when (e is not Microsoft.AspNetCore.Http.BadHttpRequestException) // Kestrel answers these itself.
        {
            unexpected = e;
        }
        finally
        {
            routed?.Dispose();
        }
        if (unexpected is not null)
        {
            await EndUnexpectedAsync(context, unexpected, start, routed);
        }
    }

    private int MaxAttempts(RoutedRequest? routed) => routed?.Rules.Attempts ?? _options.Retry.Attempts;

    private Hedge? HedgeOf(PoolOptions options, HttpForwarder? before) =>
        options.Hedge is not { } hedge ? null
        : before?._sender.Hedge is { } kept && kept.IsFor(hedge) ? kept
        : new Hedge(hedge, _time);

    private bool TryChoose(in SelectionContext selection, Backend? own, [NotNullWhen(true)] out BackendLease? lease) =>
        own is not null && !selection.HasTriedAny && _pool.TryAcquire(own, out lease) || _pool.TryAcquireInTurn(selection, out lease);

    private static ForwardError ErrorOf(Rejection rejection) => rejection switch
    {
        Rejection.QueueFull => ForwardError.Busy,
        Rejection.QueueTimeout => ForwardError.QueueTimeout,
        Rejection.Cancelled => ForwardError.ClientGone,
        _ => ForwardError.NoBackend,
    };

    /// <summary>Copies the response to the client, and completes the lease.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RelayAsync(
        HttpContext context, Attempt sent, RequestBody? body, Backend? sticky, bool isPeerTrusted, RoutedRequest? routed,
        AccessRecord? record, long start)
    {
        using var lease = sent.Lease;
        using var exchange = sent.Exchange!;
        try
        {
            exchange.CopyHead(context.Response);
            routed?.ChangeResponse(context.Response, lease.Backend.Name);
            _sticky?.SetCookie(context, sticky, lease.Backend, isPeerTrusted);
            if (record is not null)
            {
                (record.Pool, record.Backend, record.BackendTime) = (_pool.Name, lease.Backend.Name, sent.ResponseTime);
            }
            if (exchange.Status == StatusCodes.Status101SwitchingProtocols)
            {
                routed?.EndLimit();
                await exchange.TunnelAsync(context);
                if (record is not null)
                {
                    record.Bytes = exchange.BytesRelayed;
                }
                lease.Complete(AttemptOutcome.Succeeded);
            }
            else
            {
                if ((_stopping.IsCancellationRequested || exchange.IsUploadRefused) && HttpProtocol.IsHttp11(context.Request.Protocol))
                {
                    context.Response.Headers.Connection = "close";
                }
                if (routed?.Rules.Compression is { } compression)
                {
                    exchange.Compress(context, compression);
                }
                var broken = await exchange.CopyBodyAsync(context);
                var clientGone = exchange.IsClientGone;
                if (exchange.Compressed is { } compressed && broken is null && !clientGone)
                {
                    await compressed.EndAsync([]);
                }
                broken = clientGone && routed is { IsLate: true } ? routed.LateReason : broken;
                if (body is not null)
                {
                    await exchange.EndUploadAsync();
                }
                Complete(context, exchange, lease, clientGone, broken, record);
                if (exchange.Trace is { } trace)
                {
                    EndTrace(context, trace, clientGone, broken);
                }
            }
            CountResponse(context, sent, start, routed);
        }
        finally
        {
            exchange.Trace?.End();
            if (body is not null)
            {
                await exchange.EndUploadAsync(); // It reads the request too, if the response could not be relayed.
            }
            if (sent.SlowerAttempt is not null)
            {
                await sent.SlowerAttempt; // It reads the request, which is valid until this method returns.
            }
        }
    }

    private void Complete(HttpContext context, Exchange exchange, BackendLease lease, bool clientGone, string? broken, AccessRecord? record)
    {
        if (record is not null)
        {
            record.Bytes = exchange.BytesSent;
            record.Status = clientGone && broken is null ? StatusCodes.Status499ClientClosedRequest : 0;
        }
        if (clientGone && broken is null)
        {
            context.Abort();
        }
        else if (broken is not null)
        {
            // Servers give up a client that takes nothing for long (nginx: send_timeout), and do so through us. Where the client counts
            // as gone here, the route's own limit is over. Neither says anything about the backend.
            var isClients = clientGone || exchange.HasClientHeldItUp;
            lease.Complete(isClients ? AttemptOutcome.Abandoned : AttemptOutcome.Failed, broken, FailureKind.Incomplete);
            record?.Error = Incomplete;
            LogResponseBroken(_pool.Name, lease.Backend.Name, broken);
            // The client must see that its response is not complete.
            if (exchange.ResetCode is { } code && context.Features.Get<IHttpResetFeature>() is { } stream)
            {
                stream.Reset(code);
            }
            else
            {
                context.Abort();
            }
        }
        else
        {
            exchange.Complete();
            lease.Complete(AttemptOutcome.Succeeded);
        }
    }

    private static void EndTrace(HttpContext context, AttemptTrace attempt, bool clientGone, string? broken)
    {
        var error = broken is not null ? Incomplete : clientGone ? AttemptTrace.Cancelled : null;
        if (error is not null)
        {
            RequestTrace.Find(context)?.SetError(error);
        }
        attempt.End(error);
    }

    private void CountResponse(HttpContext context, in Attempt sent, long start, RoutedRequest? routed)
    {
        var status = sent.Exchange!.Status;
        var duration = _time.GetElapsedTime(start);
        sent.Lease.CountAnswer(status, sent.ResponseTime, duration);
        if (status >= StatusCodes.Status500InternalServerError)
        {
            _errors.Add(
                status, ErrorPlace.OfPool(_pool.Name, sent.Lease.Backend.Name, routed?.Rules.Name), context.Request.Method,
                RequestRules.TargetOf(context), $"the backend answered {status}", "backend_response");
        }
    }

    private Task RespondWithErrorAsync(
        HttpContext context, ForwardError error, long start, RoutedRequest? routed, string? cause = null, Backend? backend = null)
    {
        var (status, message, proxyStatus) = error.Response();
        RequestTrace.Find(context)?.SetError(error == ForwardError.ClientGone ? AttemptTrace.Cancelled : proxyStatus);
        if (error is ForwardError.Busy or ForwardError.QueueTimeout)
        {
            _pool.Statistics.CountQueueRefusal();
        }
        if (error != ForwardError.ClientGone)
        {
            var elapsed = _time.GetElapsedTime(start);
            _pool.Statistics.CountOwnAnswer(status, elapsed, elapsed);
            _errors.Add(
                status, ErrorPlace.OfPool(_pool.Name, backend?.Name, routed?.Rules.Name), context.Request.Method,
                RequestRules.TargetOf(context), cause ?? error.Cause() ?? message, proxyStatus);
        }
        return ErrorResponse.WriteAsync(context, error, routed is null ? null : routed.ChangeResponse);
    }

    // No step expects this exception, so it is an error of this program: no fault of a backend, and not tried again.
    private Task EndUnexpectedAsync(HttpContext context, Exception e, long start, RoutedRequest? routed)
    {
        if (context.RequestAborted.IsCancellationRequested)
        {
            return ErrorResponse.WriteAsync(context, ForwardError.ClientGone); // Much fails where the client's connection has ended.
        }
        LogUnexpected(e, _pool.Name, context.Request.Method);
        if (!context.Response.HasStarted)
        {
            context.Response.Clear(); // A part of the head may be there.
        }
        return RespondWithErrorAsync(
            context, ForwardError.Internal, start, routed, $"an unexpected error, {e.GetType().Name}: {e.Message}");
    }

    [LoggerMessage(11, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' ended in the middle of a response: {Reason}")]
    private partial void LogResponseBroken(string pool, string backend, string reason);

    [LoggerMessage(12, LogLevel.Error, "pool '{Pool}': an unexpected error ended a {Method} request with 502; please report it")]
    private partial void LogUnexpected(Exception e, string pool, string method);
}
