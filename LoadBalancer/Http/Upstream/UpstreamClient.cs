using System.Runtime.CompilerServices;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Sends a request to one backend, and waits for the head of its response. Errors that only come from reusing connections are handled
/// here: where an idle connection was closed just as the request was sent, or the backend speaks another HTTP version than before, the
/// request is sent to the same backend once more, over a new connection; where the backend says that it has not processed a request
/// because the connection ends, on the next one. Whether another backend is tried is decided by the caller.
/// </summary>
/// <param name="client">Stands on an <see cref="UpstreamHandler"/>; without a time-out of its own.</param>
internal sealed class UpstreamClient(HttpClient client)
{
    // A backend that refuses a request so often in a row has no room for it.
    private const int MaxRefusals = 5;

    // Where each connection takes a few requests (nginx: keepalive_requests), many at once need as many connections one after the other.
    // Which of them is served is luck.
    private const int MaxGoAways = 1000;

    /// <summary>The backend of a pool to which a connection belongs to the request's client alone; null where there is none.</summary>
    public static Backend? BoundBackend(HttpContext context, BackendPool pool) => BoundConnections.Find(context)?.BackendIn(pool);

    /// <summary>Sends the request.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="backend">Gets it.</param>
    /// <param name="body">The request's body, if it has one.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    /// <param name="superseded">Cancelled when another attempt at the same request was faster.</param>
    /// <param name="routed">What the request's route changes; null where it changes nothing.</param>
    /// <param name="trace">The attempt's span; null where it is not traced.</param>
    /// <returns>The exchange; the head of the response was read.</returns>
    /// <exception cref="ForwardException">There is no response.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Exchange> SendAsync(
        HttpContext context, Backend backend, RequestBody? body, bool isPeerTrusted, CancellationToken superseded,
        RoutedRequest? routed = null, AttemptTrace? trace = null)
    {
        ForwardException? before = null;
        for (int refusals = 0, goAways = 0; ;)
        {
            using var request = new ForwardRequest(context, backend, body, isPeerTrusted)
            {
                WantsFreshConnection = before is not null,
                WantsHttp1 = before is { IsOtherVersion: true },
                Superseded = superseded,
                Routed = routed,
                Trace = trace,
            };
            Exchange? exchange = null;
            try
            {
                // Without a token: the request has its own.
                exchange = (Exchange)await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, CancellationToken.None);
                await exchange.ReadHeadAsync();
                return exchange;
            }
            catch (ForwardException e)
            {
                if (exchange is not null)
                {
                    await exchange.EndUploadAsync();
                    exchange.Dispose();
                }
                if (e.IsRefused && (e.HasServedOthers ? ++goAways == MaxGoAways : ++refusals == MaxRefusals))
                {
                    throw new ForwardException(ForwardError.Connect, e.Message); // Not processed, so any other backend may try.
                }
                // A backend that was restarted may both have closed the connection and speak another version now.
                var isSafe = e.IsRefused || e.IsOtherVersion && before is not { IsOtherVersion: true }
                    || before is null && e.IsStale && RequestRules.IsIdempotent(context.Request.Method);
                if (body is { IsUsedUp: true } || !isSafe)
                {
                    throw;
                }
                before = e.IsRefused ? before : e;
            }
            catch
            {
                if (exchange is not null)
                {
                    await exchange.EndUploadAsync();
                    exchange.Dispose();
                }
                throw;
            }
        }
    }
}
