using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Messages;

/// <summary>The load balancer's own error responses: one line of text, and the cause in <c>Proxy-Status</c> (RFC 9209).</summary>
internal static class ErrorResponse
{
    // A backend that is down is probed again within a few seconds.
    private const string RetryAfterSeconds = "2";

    /// <summary>Responds with an error; where the client is gone, or another response has started, aborts the request.</summary>
    public static Task WriteAsync(HttpContext context, ForwardError error)
    {
        var (status, message, proxyStatus) = error.Response();
        if (context.RequestAborted.IsCancellationRequested || context.Response.HasStarted)
        {
            context.Abort();
            return Task.CompletedTask;
        }
        var response = context.Response;
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        response.Headers["Proxy-Status"] = $"{HeaderRules.NodeName}; error={proxyStatus}";
        if (error is ForwardError.RequestHead or ForwardError.TargetTooLong or ForwardError.HeadTooLarge or ForwardError.RequestBody
            or ForwardError.TransferCoding && RequestRules.IsHttp1(context.Request.Protocol))
        {
            response.Headers.Connection = "close"; // The start of the next request on this connection is not known.
        }
        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            response.Headers.RetryAfter = RetryAfterSeconds;
        }
        response.ContentLength = message.Length + 1;
        if (context.Request.Method == HttpMethods.Head)
        {
            return Task.CompletedTask;
        }
        if (context.Features.Get<AccessRecord>() is { } record)
        {
            record.Bytes = message.Length + 1;
        }
        return response.WriteAsync(message + "\n", context.RequestAborted);
    }
}
