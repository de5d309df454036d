using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// Forwards one request to a backend of a pool and streams the response back, trying another backend where that is safe. One for
/// each pool; the steps of a request are those of <see cref="ForwardAsync"/>, top to bottom.
/// </summary>
public sealed partial class HttpForwarder
{
    private readonly BackendPool _pool;
    private readonly UpstreamClient _upstream;
    private readonly PoolOptions _options;
    private readonly RetryBudget _budget;
    private readonly StickySessions? _sticky;
    private readonly Hedge? _hedge;
    private readonly TimeProvider _time;
    private readonly ErrorStatistics _errors;
    private readonly CancellationToken _stopping;
    private readonly ILogger _logger;

    /// <summary>Makes the forwarder of a pool.</summary>
    /// <param name="pool">Where backends come from.</param>
    /// <param name="options">The pool's time-outs, retries, queue, hedging and sticky sessions.</param>
    /// <param name="stickyKey">The key of its sticky sessions, where it has any.</param>
    /// <param name="client">Sends the requests; made over <see cref="CreateHandler"/>, without a time-out of its own.</param>
    /// <param name="time">The clock of the retry budget, of the queue and of hedging.</param>
    /// <param name="errors">Told of each error that a client sees.</param>
    /// <param name="logger">Told of each failed attempt, once.</param>
    /// <param name="stopping">Cancelled when the node is to stop; from then on every answer ends its connection.</param>
    /// <param name="before">The forwarder that it replaces: what that one has learned, and spent of the retry budget, goes on.</param>
    public HttpForwarder(
        BackendPool pool, PoolOptions options, byte[]? stickyKey, HttpClient client, TimeProvider time, ErrorStatistics errors, ILogger<HttpForwarder> logger,
        CancellationToken stopping, HttpForwarder? before = null)
    {
        (_pool, _options, _upstream, _time, _errors, _stopping, _logger) = (pool, options, new UpstreamClient(client), time, errors, stopping, logger);
        _budget = before is not null && before._options.Retry.Budget == options.Retry.Budget ? before._budget : new RetryBudget(options.Retry.Budget, time);
        _sticky = options.StickySession is { } sticky ? new StickySessions(pool, sticky, stickyKey!) : null;
        _hedge = options.Hedge is not { } hedge ? null : before?._hedge?.IsFor(hedge) == true ? before._hedge : new Hedge(hedge, time);
    }

    /// <summary>Whether <see cref="ForwardAsync"/> wants to know what equal clients have in common.</summary>
    public bool WantsClientHash => _options.Policy == PolicyName.IpHash;

    /// <summary>The handler that such a client stands on.</summary>
    public static HttpMessageHandler CreateHandler(PoolOptions options, BackendTrust trust, TimeProvider time) => new UpstreamHandler(options, trust, time);

    /// <summary>Forwards the request, or answers it with an error. Returns when the response is complete.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="isPeerTrusted">Whether the peer's word on who the client is counts (<see cref="ListenerOptions.TrustedProxies"/>).</param>
    /// <param name="record">The request's line in the access log, where there is one.</param>
    /// <param name="clientHash">See <see cref="WantsClientHash"/>.</param>
    public async Task ForwardAsync(HttpContext context, bool isPeerTrusted, AccessRecord? record, ulong clientHash)
    {
        // 1. Refuse what is not for a backend, and what has come by here too often.
        var start = _time.GetTimestamp();
        var hasBody = !HttpMethods.IsConnect(context.Request.Method) && context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: true };
        var body = hasBody ? new RequestBody(context.Request) : null;
        var fault = RequestRules.Fault(context, hasBody);
        if (fault is not null)
        {
            await AnswerErrorAsync(context, fault.Value, start);
            return;
        }

        _budget.CountRequest();
        var own = _sticky?.Find(context.Request);
        var error = ForwardError.NoBackend;
        string? cause = null;
        List<Backend>? tried = null;
        for (var attempts = 0; attempts < _options.Retry.Attempts;)
        {
            // 2. Choose a backend that was not tried yet, first of all the client's own; wait for one where all are full.
            var selection = new SelectionContext(tried, clientHash);
            if (!TryChoose(selection, own, out var lease))
            {
                (lease, var reason) = await WaitForBackendAsync(selection, context.RequestAborted);
                if (lease is null)
                {
                    error = tried is null ? reason : error; // What became of the request itself says more.
                    break;
                }
            }

            if (tried is not null)
            {
                _pool.Statistics.CountRetry();
            }

            // 3. Send the request, and copy the answer once its head is there.
            var sent = _hedge is not null && _hedge.Suits(context, hasBody) && _hedge.Delay is { } delay
                ? await SendHedgedAsync(context, lease, isPeerTrusted, delay, tried ??= [], clientHash)
                : await SendAsync(context, lease, body, isPeerTrusted, default);
            if (sent.Exchange is not null)
            {
                await RelayAsync(context, sent, body, own, isPeerTrusted, record, start);
                return;
            }

            // 4. Go on to the next backend, where the client cannot come to harm by it.
            (error, cause) = (sent.Error, sent.Cause);
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
            if (error != ForwardError.ResponseHead || !RequestRules.IsIdempotent(context.Request.Method) || attempts == _options.Retry.Attempts || !_budget.TryTakeRetry())
            {
                break;
            }
        }
        await AnswerErrorAsync(context, error, start, cause);
    }

    // Who waits goes first: nobody takes what has just become free from under them.
    private bool TryChoose(in SelectionContext selection, Backend? own, [NotNullWhen(true)] out BackendLease? lease)
    {
        if (own is not null && !selection.HasTriedAny && _pool.TryAcquire(own, out lease))
        {
            return true;
        }
        lease = null;
        return _pool.WaitingRoom.Count == 0 && _pool.TryAcquire(selection, out lease);
    }

    /// <summary>Waits for the first probes, which may be under way when the node has just started, and for room where everybody is full.</summary>
    private async ValueTask<(BackendLease? Lease, ForwardError Error)> WaitForBackendAsync(SelectionContext selection, CancellationToken aborted)
    {
        if (!_pool.Settled.IsCompleted)
        {
            await _pool.Settled.WaitAsync(aborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!aborted.IsCancellationRequested && TryChoose(selection, null, out var settled))
            {
                return (settled, default);
            }
        }
        if (aborted.IsCancellationRequested)
        {
            return (null, ForwardError.ClientGone);
        }
        if (!_pool.HasUntried(selection))
        {
            return (null, ForwardError.NoBackend);
        }
        using var patience = new CancellationTokenSource(_options.Queue.Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, aborted);
        if (_pool.WaitingRoom.TryEnter(selection, either.Token) is not { } waiting)
        {
            return (null, ForwardError.Busy);
        }
        return (await waiting, aborted.IsCancellationRequested ? ForwardError.ClientGone : patience.IsCancellationRequested ? ForwardError.QueueTimeout : ForwardError.NoBackend);
    }

    /// <summary>Sends the request to the backend of a lease, and waits for the head of its answer.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="lease">The backend; given back where there is no answer.</param>
    /// <param name="body">The request's body, if it has one.</param>
    /// <param name="isPeerTrusted">Whether the peer's word on who the client is counts.</param>
    /// <param name="superseded">Cancelled when another attempt was faster.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Sent> SendAsync(HttpContext context, BackendLease lease, RequestBody? body, bool isPeerTrusted, CancellationToken superseded)
    {
        try
        {
            var exchange = await _upstream.SendAsync(context, lease.Backend, body, isPeerTrusted, superseded);
            var elapsed = lease.ObserveResponse();
            _hedge?.Observe(elapsed);
            return new Sent(exchange, lease, elapsed);
        }
        catch (ForwardException e)
        {
            if (e.Error == ForwardError.ResponseTimeout || superseded.IsCancellationRequested)
            {
                var elapsed = lease.ObserveNoResponse();
                _hedge?.Observe(elapsed);
            }
            lease.Complete(e.Outcome, e.Message);
            if (e.Outcome != AttemptOutcome.Abandoned)
            {
                LogAttemptFailed(_pool.Name, lease.Backend.Name, e.Error, e.Message);
            }
            return new Sent(null, lease, default, e.Error, $"backend '{lease.Backend.Name}': {e.Message}");
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    /// <summary>The same, and if there is no answer after a while, at a second backend too. The first answer counts; the other attempt is broken off.</summary>
    private async ValueTask<Sent> SendHedgedAsync(HttpContext context, BackendLease lease, bool isPeerTrusted, TimeSpan delay, List<Backend> tried, ulong clientHash)
    {
        using var firstSuperseded = new CancellationTokenSource();
        var first = SendAsync(context, lease, null, isPeerTrusted, firstSuperseded.Token).AsTask();
        await ((Task)first).WaitAsync(delay, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var selection = new SelectionContext([.. tried, lease.Backend], clientHash);
        if (first.IsCompleted || !_pool.HasUntried(selection) || _pool.WaitingRoom.Count > 0 || !_budget.TryTakeRetry() || !_pool.TryAcquire(selection, out var otherLease))
        {
            return await first;
        }
        _pool.Statistics.CountHedge();
        tried.Add(otherLease.Backend);
        using var secondSuperseded = new CancellationTokenSource();
        var second = SendAsync(context, otherLease, null, isPeerTrusted, secondSuperseded.Token).AsTask();
        var isFirst = await Task.WhenAny(first, second) == first;
        var winner = await (isFirst ? first : second);
        if (winner.Exchange is null)
        {
            return await (isFirst ? second : first); // Whatever comes of it.
        }
        await (isFirst ? secondSuperseded : firstSuperseded).CancelAsync();
        return winner with { Loser = SettleLoserAsync(isFirst ? second : first) };
    }

    // It may have had an answer too, a moment too late.
    private static async Task SettleLoserAsync(Task<Sent> loser)
    {
        var late = await loser;
        late.Exchange?.Dispose();
        late.Lease.Dispose();
    }

    /// <summary>Copies the answer to the client, and gives the backend back.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RelayAsync(HttpContext context, Sent sent, RequestBody? body, Backend? own, bool isPeerTrusted, AccessRecord? record, long start)
    {
        using var lease = sent.Lease;
        using var exchange = sent.Exchange!;
        try
        {
            exchange.CopyHead(context.Response);
            _sticky?.SetCookie(context, own, lease.Backend, isPeerTrusted);
            if (record is not null)
            {
                (record.Pool, record.Backend) = (_pool.Name, lease.Backend.Name);
            }
            if (exchange.Status == StatusCodes.Status101SwitchingProtocols)
            {
                await exchange.TunnelAsync(context);
                lease.Complete(AttemptOutcome.Succeeded);
            }
            else
            {
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
            }
            CountAnswer(context, sent, start);
        }
        finally
        {
            if (sent.Loser is not null)
            {
                await sent.Loser; // It reads the request, which ends with us.
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

    private void CountAnswer(HttpContext context, in Sent sent, long start)
    {
        var status = sent.Exchange!.Status;
        var duration = _time.GetElapsedTime(start);
        sent.Lease.Backend.Answers.Count(status, sent.ResponseTime, duration);
        Telemetry.CountDuration(_pool.Name, sent.Lease.Backend.Name, status, duration);
        if (status >= StatusCodes.Status500InternalServerError)
        {
            _errors.Add(status, $"pool '{_pool.Name}', backend '{sent.Lease.Backend.Name}'", context.Request.Method, RawTarget(context), $"the backend answered {status}");
        }
    }

    private Task AnswerErrorAsync(HttpContext context, ForwardError error, long start, string? cause = null)
    {
        var (status, message, _) = error.Answer();
        if (error is ForwardError.Busy or ForwardError.QueueTimeout)
        {
            _pool.Statistics.CountQueueRefusal();
        }
        if (error != ForwardError.ClientGone)
        {
            var elapsed = _time.GetElapsedTime(start);
            _pool.Statistics.OwnAnswers.Count(status, elapsed, elapsed);
            Telemetry.CountDuration(_pool.Name, "", status, elapsed);
            _errors.Add(status, $"pool '{_pool.Name}'", context.Request.Method, RawTarget(context), cause ?? error.Cause() ?? message);
        }
        return ErrorAnswer.WriteAsync(context, error);
    }

    private static string RawTarget(HttpContext context) => context.Features.Get<IHttpRequestFeature>()!.RawTarget;

    [LoggerMessage(10, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' failed a request: {Error}, {Reason}")]
    private partial void LogAttemptFailed(string pool, string backend, ForwardError error, string reason);

    [LoggerMessage(11, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' broke off in the middle of a response: {Reason}")]
    private partial void LogResponseBroken(string pool, string backend, string reason);

    /// <summary>What came of an attempt: an answer whose head is there, or none and why.</summary>
    /// <param name="Exchange">The answer; null where there is none, and the lease has been given back.</param>
    /// <param name="Lease">The backend that was asked.</param>
    /// <param name="ResponseTime">After which time the head of the answer was there.</param>
    /// <param name="Error">Why there is no answer.</param>
    /// <param name="Cause">The same in words, for the operator.</param>
    /// <param name="Loser">Another attempt that was broken off; the request must not end before it.</param>
    private readonly record struct Sent(Exchange? Exchange, BackendLease Lease, TimeSpan ResponseTime, ForwardError Error = default, string? Cause = null, Task? Loser = null);
}
